"""Configurations of Keras 2, changed into what Keras 3 reads."""

import re

# Arguments that Keras 3 dropped, with the values that change nothing; pattern of class names to {argument: values}.
_DROPPED = (
    (re.compile(r"DepthwiseConv\dD|SeparableConv\dD|Conv\dDTranspose"), {"groups": (1,)}),
    (re.compile(r"SeparableConv\dD"), dict.fromkeys(("kernel_initializer", "kernel_regularizer", "kernel_constraint"))),
    (re.compile(r"LSTM|GRU|SimpleRNN|RNN"), {"time_major": (False,)}),
    (re.compile(r"BatchNormalization"), {"fused": None, "renorm": (False,), "virtual_batch_size": (None,)}),
    (re.compile(r"InputLayer"), {"ragged": (False,)}),
)
_MODELS = {"Functional": "keras.src.models.functional", "Model": "keras", "Sequential": "keras"}
# Arguments that are layers themselves.
_WRAPPED = ("layer", "backward_layer", "cell", "cells")


def modernize(config):
    """Changes a configuration of Keras 2 in place where Keras 3 knows the same thing differently."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            _modernize(value)
            waiting += value.values()


def _modernize(value):
    class_name, config = value.get("class_name"), value.get("config")
    if not isinstance(class_name, str) or not isinstance(config, dict):
        return
    if class_name in _MODELS:
        _renumber(config)
    module = value.get("module")
    if isinstance(module, str):
        # As the package tf_keras calls itself.
        value["module"] = module = re.sub(r"^tf_keras\b", "keras", module)
        if class_name in _MODELS and re.match(r"keras\.(src\.)?engine\.", module):
            value["module"] = _MODELS[class_name]
    # Layers within layers are looked up by module; others by name, as Keras 2 did.
    for key in _WRAPPED:
        for each in config[key] if isinstance(config.get(key), list) else [config.get(key)]:
            if isinstance(each, dict) and isinstance(each.get("class_name"), str) and "module" not in each:
                _place(each)
    for classes, arguments in _DROPPED:
        if not classes.fullmatch(class_name):
            continue
        for name, values in arguments.items():
            if name in config and (values is None or config[name] in values):
                del config[name]


def _place(layer):
    layer["module"] = _MODELS.get(layer["class_name"], "keras.layers")
    config = layer.get("config")
    if not isinstance(config, dict):
        return
    config.pop("batch_input_shape", None)
    if isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        config["axis"] = config["axis"][0]


def _renumber(config):
    """In Keras 2 the first node of a model within a model is its own, and its first call has number 1; in Keras 3, 0."""
    layers = [layer for layer in config.get("layers") or [] if isinstance(layer, dict)]
    models = {layer.get("name"): layer["class_name"] for layer in layers if layer.get("class_name") in _MODELS}
    inbound, outbound = {}, {}
    for layer in layers:
        nodes = layer.get("inbound_nodes")
        # Keras 3 writes its nodes as objects.
        _find_references([node for node in nodes or [] if isinstance(node, list)], models, inbound)
    _find_references(config.get("output_layers"), models, outbound)
    for name, class_name in models.items():
        references = [*inbound.get(name, []), *outbound.get(name, [])]
        if not references or min(reference[1] for reference in references) == 0:
            continue
        # Keras 3 itself counts the outputs so, but only where the inner model is no Sequential.
        for reference in references if class_name == "Sequential" else inbound.get(name, []):
            reference[1] -= 1


def _find_references(value, models, found):
    """[layer, node, tensor] and [layer, node, tensor, {arguments}], wherever they stand."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            is_reference = len(value) in (3, 4) and value[0] in models if value and isinstance(value[0], str) else False
            if is_reference and isinstance(value[1], int):
                found.setdefault(value[0], []).append(value)
            waiting += value
