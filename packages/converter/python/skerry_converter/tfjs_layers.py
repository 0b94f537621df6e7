"""TensorFlow.js layers models: Keras's configuration, and weights by their names."""

import re

from skerry_converter.keras_model import build, keras_source, reading
from skerry_converter.protocol import ConversionFailure


def layers_source(topology, read_weights):
    """`topology`: modelTopology of model.json, as Keras or as TensorFlow.js writes it."""
    config = topology.get("model_config", topology)
    if not isinstance(config, dict) or "class_name" not in config:
        raise ConversionFailure("not-a-model", "The model's topology is neither a graph nor a Keras configuration.")
    with reading():
        model = build(config)
    weights = read_weights()
    with reading():
        _set_weights(model, weights)
        return keras_source(model)


def _set_weights(model, weights):
    """By the variables' names; where those differ, by the layer's name and the weight's within it."""
    left = {re.sub(r":0$", "", name): value for name, value in weights.items()}
    waiting = [variable for variable in model.variables if "seed_generator" not in variable.path]
    owners = _owners(model)
    for find in (_by_path, _by_layer_and_name, _by_layer_alone):
        found = [(variable, find(left, variable, owners.get(id(variable), []))) for variable in waiting]
        waiting = []
        for variable, name in found:
            if name is None or name not in left:
                waiting.append(variable)
            else:
                variable.assign(left.pop(name))
    if waiting:
        raise ConversionFailure("not-a-model", f"The weights are missing: {', '.join(each.path for each in waiting[:5])}.")
    if left:
        raise ConversionFailure("not-a-model", f"No layer has the weights {', '.join(sorted(left)[:5])}.")


def _owners(model):
    """{id of a variable: names of the layers that have it, the innermost first}."""
    owners = {}
    for layer in model._flatten_layers(include_self=False):
        for variable in layer.variables:
            owners.setdefault(id(variable), []).insert(0, layer.name)
    return owners


def _by_path(weights, variable, owners):
    value = weights.get(variable.path)
    return variable.path if value is not None and value.shape == tuple(variable.shape) else None


def _by_layer_and_name(weights, variable, owners):
    """The layer around a cell is often the only one that is named."""
    last = variable.path.rpartition("/")[2]
    for owner in owners:
        found = [name for name in _of_layer(weights, variable, owner) if name.rpartition("/")[2] == last]
        if found:
            return found[0]
    return None


def _by_layer_alone(weights, variable, owners):
    """Keras 3 has other names for some weights; where only one of a layer's has the shape, it is that."""
    for owner in owners:
        found = _of_layer(weights, variable, owner)
        if len(found) == 1:
            return found[0]
    return None


def _of_layer(weights, variable, owner):
    side = _side(variable.path.split("/"))
    return [
        name
        for name, value in weights.items()
        if value.shape == tuple(variable.shape) and owner in (parts := name.split("/"))[:-1] and _side(parts) == side
    ]


def _side(parts):
    """Which half of a bidirectional layer it is."""
    return next((side for part in parts for side in ("forward", "backward") if part.startswith(side)), None)

