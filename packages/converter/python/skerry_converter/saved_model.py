"""Reads archives of SavedModels, without running operators that reach the file system or Python."""

import re
import shutil

from skerry_converter.archive import unpack_saved_model
from skerry_converter.protocol import ConversionFailure, last_words
from skerry_converter.source import Source, name_tensors

# Loading a SavedModel runs its initializers, and the reference runs its signature.
_UNSAFE = re.compile(
    r"(Eager)?PyFunc.*|ReadFile|WriteFile|MatchingFiles|PrintV2|Save(Slices)?|Restore(Slice)?|ImmutableConst|"
    r"(WholeFile|TextLine|FixedLengthRecord|TFRecord)(Reader|Dataset).*|(Save|Load)Dataset.*|DistributedSave|"
    r"LoadAndRemapMatrix|GenerateVocabRemapping|CreateSummary.*Writer|Debug(Identity|NanCount|NumericSummary).*"
)
# Every SavedModel holds these, in functions that save and restore its variables and that nothing else calls.
_CHECKPOINT = {"SaveV2", "RestoreV2", "MergeV2Checkpoints"}
_CHECKPOINT_FUNCTION = re.compile(r"__inference__traced_(save|restore)_\d+")


def load_saved_model(path, work):
    unpacked = work / "source"
    if unpacked.exists():
        shutil.rmtree(unpacked)
    folder = unpack_saved_model(path, unpacked)
    try:
        _refuse_unsafe(folder)
        return _load(folder)
    except ConversionFailure:
        raise
    except AttributeError as error:
        # A model that was trained with an optimizer of Keras 2 keeps its slots, which no class here restores.
        if "add_slot" not in str(error):
            raise _unreadable(error) from error
    except Exception as error:
        raise _unreadable(error) from error
    try:
        return _load_graph(folder)
    except ConversionFailure:
        raise
    except Exception as error:
        raise _unreadable(error) from error


def _load(folder):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures[_signature_key(loaded.signatures)]
    ins = signature.structured_input_signature[1]
    outs = signature.structured_outputs
    inputs = name_tensors(((name, ins[name].shape, ins[name].dtype.name) for name in sorted(ins)), "input")
    outputs = name_tensors(((name, outs[name].shape, outs[name].dtype.name) for name in sorted(outs)), "output")

    def call(values):
        answer = signature(**{tensor.name: value for tensor, value in zip(inputs, values, strict=True)})
        return [answer[tensor.name] for tensor in outputs]

    return Source("tensorflow", tf.__version__, inputs, outputs, call, loaded)


def _load_graph(folder):
    """Reads the graph alone, as TensorFlow 1 does, with the variables' values in it; no objects are restored."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_from_session_graph
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    v1 = tf.compat.v1
    tags = parse_saved_model(str(folder)).meta_graphs[0].meta_info_def.tags
    with tf.Graph().as_default() as graph, v1.Session() as session:
        signatures = v1.saved_model.load(session, list(tags), str(folder)).signature_def
        signature = signatures[_signature_key(signatures)]
        ins, outs = signature.inputs, signature.outputs
        ends = [info.name.partition(":")[0] for info in outs.values()]
        frozen = convert_variables_to_constants_from_session_graph(session, graph.as_graph_def(), ends)
    _refuse_nodes(frozen.node, _CHECKPOINT)
    inputs, outputs = (
        name_tensors(
            ((name, tf.TensorShape(infos[name].tensor_shape), tf.as_dtype(infos[name].dtype).name) for name in sorted(infos)),
            kind,
        )
        for infos, kind in ((ins, "input"), (outs, "output"))
    )
    whole = v1.wrap_function(lambda: tf.import_graph_def(frozen, name=""), [])
    element = whole.graph.as_graph_element
    function = whole.prune(
        [element(ins[tensor.name].name) for tensor in inputs], [element(outs[tensor.name].name) for tensor in outputs]
    )
    return Source("tensorflow", tf.__version__, inputs, outputs, lambda values: function(*values), function)


def _signature_key(signatures):
    from tensorflow import saved_model

    # The initializer's, which is none of the model's.
    names = [name for name in signatures if not name.startswith("__saved_model")]
    key = saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    if key in names:
        return key
    if len(names) == 1:
        return names[0]
    present = ", ".join(sorted(names)) or "none"
    raise ConversionFailure("converter-failed", f"The SavedModel has no signature {key}; its signatures: {present}.")


def _unreadable(error):
    return ConversionFailure("not-a-model", f"TensorFlow cannot read the SavedModel: {last_words(error)}")


def _refuse_unsafe(folder):
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    for meta_graph in parse_saved_model(str(folder)).meta_graphs:
        _refuse_nodes(meta_graph.graph_def.node)
        for function in meta_graph.graph_def.library.function:
            is_checkpoint = _CHECKPOINT_FUNCTION.fullmatch(function.signature.name)
            _refuse_nodes(function.node_def, () if is_checkpoint else _CHECKPOINT)


def _refuse_nodes(nodes, more=()):
    for node in nodes:
        called = [
            function.name
            for attribute in node.attr.values()
            for function in [attribute.func, *attribute.list.func]
        ]
        calls_checkpoint = more and any(_CHECKPOINT_FUNCTION.fullmatch(name) for name in [node.op, *called])
        if _UNSAFE.fullmatch(node.op) or node.op in more or calls_checkpoint:
            words = f"The SavedModel holds the operator {node.op}, which reaches files or Python and is not run."
            raise ConversionFailure("unsafe-model", words)
