"""Reads SavedModels: archives, and folders of this machine."""

from skerry_converter.archive import find_in, unpack
from skerry_converter.graph_safety import refuse_unsafe_nodes, refuse_unsafe_operators
from skerry_converter.protocol import ConversionFailure, last_words, limit_of
from skerry_converter.source import Source, name_tensors

_FILE = "saved_model.pb"
_SERVE = "serve"
_REFERENCE_VARIABLES = ("Variable", "VariableV2")
# Other forms of the same, of which TensorFlow's loaders prefer now one, now another.
_OTHER_FORMS = ("saved_model.pbtxt", "saved_model.cpb")


def load_saved_model(path, unpacked, wanted=None):
    """`wanted`: name of the signature; None for serving_default or the only one."""
    folder = _find(path, unpacked)
    try:
        meta_graph = _checked_meta_graph(folder)
        signature, names = _choose(meta_graph.signature_def, wanted)
        source = _load(folder, meta_graph, signature)
    except ConversionFailure:
        raise
    except Exception as error:
        if limit_of(error):
            raise
        raise ConversionFailure("not-a-model", f"TensorFlow cannot read the SavedModel: {last_words(error)}") from error
    source.folder, source.signature, source.signatures = folder, signature, names
    return source


def _find(path, unpacked):
    if path.is_dir():
        folder = find_in(path, _FILE)
    else:
        unpack(path, unpacked)
        folder = find_in(unpacked, _FILE)
    if folder is None:
        raise ConversionFailure("not-a-model", f"There is no {_FILE} in it.")
    other = next((name for name in _OTHER_FORMS if (folder / name).exists()), None)
    if other is not None:
        raise ConversionFailure("not-a-model", f"There is {other} beside {_FILE}: which one is the model is not clear.")
    return folder


def _checked_meta_graph(folder):
    """The graph for serving. All of them are checked: loaders choose for themselves."""
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    meta_graphs = parse_saved_model(str(folder)).meta_graphs
    if not meta_graphs:
        raise ConversionFailure("not-a-model", "The SavedModel holds no graph.")
    for meta_graph in meta_graphs:
        refuse_unsafe_operators(meta_graph)
    return next((graph for graph in meta_graphs if _SERVE in graph.meta_info_def.tags), meta_graphs[0])


def _load(folder, meta_graph, signature):
    # TensorFlow 1's own variables run in TensorFlow 2, which then neither exports nor converts them.
    if any(node.op in _REFERENCE_VARIABLES for node in meta_graph.graph_def.node):
        return _load_graph(folder, meta_graph, signature)
    try:
        return _load_objects(folder, meta_graph, signature)
    except AttributeError as error:
        # A model that was trained with an optimizer of Keras 2 keeps its slots, which no class here restores.
        if "add_slot" not in str(error):
            raise
    return _load_graph(folder, meta_graph, signature)


def _load_objects(folder, meta_graph, key):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder), tags=list(meta_graph.meta_info_def.tags))
    signature = loaded.signatures[key]
    ins = signature.structured_input_signature[1]
    outs = signature.structured_outputs
    inputs = name_tensors(((name, ins[name].shape, ins[name].dtype.name) for name in sorted(ins)), "input")
    outputs = name_tensors(((name, outs[name].shape, outs[name].dtype.name) for name in sorted(outs)), "output")

    def call(values):
        answer = signature(**{tensor.name: value for tensor, value in zip(inputs, values, strict=True)})
        return [answer[tensor.name] for tensor in outputs]

    return Source("tensorflow", tf.__version__, inputs, outputs, call, loaded)


def _load_graph(folder, meta_graph, key):
    """Reads the graph alone, as TensorFlow 1 does, with the variables' values in it; no objects are restored."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_from_session_graph

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session() as session:
        signature = v1.saved_model.load(session, list(meta_graph.meta_info_def.tags), str(folder)).signature_def[key]
        ins, outs = signature.inputs, signature.outputs
        ends = [info.name.partition(":")[0] for info in outs.values()]
        frozen = convert_variables_to_constants_from_session_graph(session, graph.as_graph_def(), ends)
    refuse_unsafe_nodes(frozen.node)
    inputs, outputs = (
        name_tensors(
            ((name, tf.TensorShape(infos[name].tensor_shape), tf.as_dtype(infos[name].dtype).name) for name in sorted(infos)),
            kind,
        )
        for infos, kind in ((ins, "input"), (outs, "output"))
    )
    function = graph_function(
        frozen, [ins[tensor.name].name for tensor in inputs], [outs[tensor.name].name for tensor in outputs]
    )
    return Source("tensorflow", tf.__version__, inputs, outputs, lambda values: function(*values), function)


def graph_function(graph_def, inputs, outputs):
    """A function from the tensors named `inputs` to those named `outputs`, such as x:0, of a graph without variables."""
    import tensorflow as tf

    whole = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
    element = whole.graph.as_graph_element
    return whole.prune([element(name) for name in inputs], [element(name) for name in outputs])


def _choose(signatures, wanted):
    """(name of the signature, names of all)."""
    from tensorflow import saved_model

    # The initializer's is none of the model's.
    names = sorted(name for name in signatures if not name.startswith("__saved_model"))
    default = saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    present = f"its signatures: {', '.join(names) or 'none'}"
    if wanted is not None:
        if wanted not in names:
            raise ConversionFailure("unknown-signature", f"The SavedModel has no signature {wanted}; {present}.")
        return wanted, names
    if default in names:
        return default, names
    if len(names) == 1:
        return names[0], names
    raise ConversionFailure("unknown-signature", f"The SavedModel has no signature {default}; {present}: choose one.")
