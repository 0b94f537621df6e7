"""TensorFlow.js graph models: a GraphDef as JSON, whose constants stand among the weights."""

import json
import re

from skerry_converter.graph_safety import refuse_unsafe_nodes
from skerry_converter.protocol import ConversionFailure
from skerry_converter.saved_model import graph_function
from skerry_converter.source import Source, name_tensors
from skerry_converter.tfjs_unfuse import unfuse


def graph_source(model, read_weights):
    """`model`: model.json."""
    import tensorflow as tf

    if model.get("modelInitializer"):
        raise ConversionFailure(
            "converter-failed", "The graph model has an initializer (tables), which is not read: send the SavedModel instead."
        )
    graph_def = _parse(model["modelTopology"])
    nodes = [graph_def.node, *(function.node_def for function in graph_def.library.function)]
    for each in nodes:
        refuse_unsafe_nodes(each)
    weights = read_weights()
    for each in nodes:
        _fill_constants(each, weights)
    unfuse(graph_def)
    signature = _signature(model)
    _narrow(graph_def, signature)
    ins, outs = _ends(signature, graph_def)
    function = graph_function(graph_def, [tensor for _, tensor in ins], [tensor for _, tensor in outs])
    inputs, outputs = (
        name_tensors(
            ((name, tensor.shape, tensor.dtype.name) for (name, _), tensor in zip(ends, tensors, strict=True)), kind
        )
        for ends, tensors, kind in ((ins, function.inputs, "input"), (outs, function.outputs, "output"))
    )
    return Source("tensorflow", tf.__version__, inputs, outputs, lambda values: function(*values), function)


def _parse(topology):
    from google.protobuf import json_format
    from tensorflow.core.framework import graph_pb2

    parts = {key: topology[key] for key in ("node", "library", "versions") if key in topology}
    graph_def = graph_pb2.GraphDef()
    json_format.Parse(json.dumps(parts), graph_def, ignore_unknown_fields=True)
    # Written for versions of TensorFlow that checked less, or that this one is older than.
    graph_def.ClearField("versions")
    return graph_def


def _fill_constants(nodes, weights):
    import tensorflow as tf

    for node in nodes:
        if node.op != "Const":
            continue
        if node.name not in weights:
            if node.attr["value"].tensor.ByteSize() <= 4:
                raise ConversionFailure("not-a-model", f"The weights have nothing for the constant {node.name!r}.")
            continue
        # Numbers of 64 bits are kept as 32.
        dtype = tf.as_dtype(node.attr["dtype"].type)
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name], dtype=dtype))


def _signature(model):
    """{inputs, outputs: {name: {name of the tensor, dtype, tensorShape}}}, which older converters hid in the metadata."""
    metadata = model.get("userDefinedMetadata")
    return model.get("signature") or (metadata.get("signature") if isinstance(metadata, dict) else None) or {}


def _narrow(graph_def, signature):
    """Where a placeholder leaves open what the signature knows, such as the size of the picture."""
    import tensorflow as tf

    placeholders = {node.name: node for node in graph_def.node if node.op == "Placeholder"}
    for name, info in (signature.get("inputs") or {}).items():
        node = placeholders.get(_tensor(info.get("name", name)).partition(":")[0])
        shape = info.get("tensorShape") or {}
        if node is None or "shape" not in node.attr or shape.get("unknownRank") or "dim" not in shape:
            continue
        said = tf.TensorShape([None if int(each["size"]) < 0 else int(each["size"]) for each in shape["dim"]])
        own = tf.TensorShape(node.attr["shape"].shape)
        if own.is_compatible_with(said):
            node.attr["shape"].shape.CopyFrom(own.merge_with(said).as_proto())


def _ends(signature, graph_def):
    """(name, tensor) of each input and of each output."""
    if signature.get("outputs"):
        return tuple(
            [(_plain(name), _tensor(info.get("name", name))) for name, info in (signature.get(kind) or {}).items()]
            for kind in ("inputs", "outputs")
        )
    used = {each.removeprefix("^").partition(":")[0] for node in graph_def.node for each in node.input}
    ins = [node.name for node in graph_def.node if node.op == "Placeholder"]
    outs = [node.name for node in graph_def.node if node.name not in used and node.op not in ("Const", "Placeholder", "NoOp")]
    return [(name, _tensor(name)) for name in ins], [(name, _tensor(name)) for name in outs]


def _plain(name):
    """A signature made from a graph calls its first tensors x:0."""
    return name.removesuffix(":0")


def _tensor(name):
    return name if re.search(r":\d+$", name) else f"{name}:0"
