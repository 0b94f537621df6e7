"""Writes models that do harm, or try to, when they are loaded or run. Argument: an empty folder.

<expected code>--<what the refusal has to name>--<what>.<ending>. What gets out would be called /tmp/skerry-hostile-*.
"""

import copy
import json
import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["KERAS_BACKEND"] = "tensorflow"
import h5py
import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

OUT = Path(sys.argv[1])
UNSAFE, DAMAGED = "unsafe-model", "not-a-model"
CANARY = "/tmp/skerry-hostile-x"


def path_of(names, what, ending, code=UNSAFE):
    return OUT / f"{code}--{names}--{what}.{ending}"


# Keras: one whole model, whose configuration is then changed.
inputs = keras.Input((4,), name="numbers")
model = keras.Model(inputs, keras.layers.Dense(2, activation="relu", name="innocent")(inputs))
model.save(OUT / "whole.keras")
model.save(OUT / "whole.h5")
with zipfile.ZipFile(OUT / "whole.keras") as archive:
    PARTS = {name: archive.read(name) for name in archive.namelist()}
(OUT / "whole.keras").unlink()
H5 = (OUT / "whole.h5").read_bytes()
(OUT / "whole.h5").unlink()


def keras_file(names, what, change=None, parts=None, code=UNSAFE):
    files = dict(PARTS)
    if change is not None:
        config = json.loads(files["config.json"])
        change(config["config"]["layers"][1], config)
        files["config.json"] = json.dumps(config).encode()
    files.update(parts or {})
    with zipfile.ZipFile(path_of(names, what, "keras", code), "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def lambda_layer(layer, config):
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
    layer |= {"class_name": "Lambda", "module": "keras.layers"}
    layer["config"] = {"name": "innocent", "function": code}


def set_activation(activation):
    def change(layer, config):
        layer["config"]["activation"] = activation

    return change


def set_class(module, class_name, registered_name=None):
    def change(layer, config):
        layer |= {"module": module, "class_name": class_name, "registered_name": registered_name}

    return change


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def add_nested_lambda(layer, config):
    inner = copy.deepcopy(layer)
    lambda_layer(inner, config)
    inner["config"]["name"] = "nested"
    layer |= {"class_name": "TimeDistributed", "module": "keras.layers"}
    layer["config"] = {"name": "innocent", "layer": inner}


def read_a_file(layer, config):
    layer |= {"class_name": "StringLookup", "module": "keras.layers"}
    layer["config"] = {"name": "innocent", "vocabulary": "/etc/passwd"}


def nest_deeply(layer, config):
    value = []
    for _ in range(500):
        value = [value]
    layer["config"]["deep"] = value


keras_file("innocent", "lambda", lambda_layer)
keras_file("nested", "nested-lambda", add_nested_lambda)
keras_file("innocent", "python-function", set_activation({"class_name": "__lambda__", "config": {"value": ""}}))
keras_file("get_file", "download", set_activation(function("keras.utils", "get_file")))
keras_file("load_model", "load-another", set_activation(function("keras.models", "load_model")))
keras_file("system", "shell", set_activation(function("os", "system")))
keras_file("get_file", "function-as-class", set_class("keras.utils", "get_file"))
keras_file("enable_unsafe_deserialization", "unsafe-mode", set_class("keras.config", "enable_unsafe_deserialization"))
keras_file("TFSMLayer", "other-model", set_class("keras.layers", "TFSMLayer"))
keras_file("TorchModuleWrapper", "pickle", set_class("keras.layers", "TorchModuleWrapper"))
keras_file("Mine", "custom-layer", set_class(None, "Mine", "Custom>Mine"))
keras_file("Popen", "any-class", set_class("subprocess", "Popen"))
keras_file("etc", "vocabulary-file", read_a_file)
keras_file("config", "no-config", parts={"config.json": b"[" * 100_000}, code=DAMAGED)
keras_file("Unrecognized keyword", "unknown-argument", nest_deeply, code=DAMAGED)
keras_file("assets", "asset-outside", parts={"assets/../../skerry-hostile-x": b"outside"}, code="unsafe-archive")


def h5_file(names, what, change, code=UNSAFE, inside_keras=False):
    """`change` gets the open file, a copy of a whole model's."""
    path = OUT / "inside.h5" if inside_keras else path_of(names, what, "h5", code)
    path.write_bytes(PARTS["model.weights.h5"] if inside_keras else H5)
    with h5py.File(path, "r+") as file:
        change(file)
    if inside_keras:
        keras_file(names, what, parts={"model.weights.h5": path.read_bytes()}, code=code)
        path.unlink()


def set_config(change):
    def write(file):
        config = json.loads(file.attrs["model_config"])
        change(config["config"]["layers"][1], config)
        file.attrs["model_config"] = json.dumps(config)

    return write


def legacy_lambda(layer, config):
    layer.pop("module", None)
    layer |= {"class_name": "Lambda"}
    layer["config"] = {"name": "innocent", "function": ["4wEAAAA=", None, None], "function_type": "lambda"}


def legacy_custom(layer, config):
    layer.pop("module", None)
    layer["class_name"] = "Mine"


KERNEL = "innocent/kernel"


def weights_of(file):
    found = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return next(name for name in found if file[name].ndim == 2)


def replace_kernel(make):
    def change(file):
        name = weights_of(file)
        del file[name]
        make(file, name)

    return change


def external_storage(file, name):
    file.create_dataset(name, (4, 2), "f4", external=[("/etc/passwd", 0, 32)])


def virtual(file, name):
    layout = h5py.VirtualLayout((4, 2), "f4")
    layout[:] = h5py.VirtualSource("/tmp/skerry-hostile-other.h5", "x", (4, 2))
    file.create_virtual_dataset(name, layout)


def external_link(file, name):
    file[name] = h5py.ExternalLink("/tmp/skerry-hostile-other.h5", "/x")


def soft_link(file, name):
    file[name] = h5py.SoftLink("/elsewhere")


def huge(file, name):
    file.create_dataset(name, (1 << 20, 1 << 16), "f4", chunks=(1024, 1024), compression="gzip")


def make_cycle(file):
    file["cycle"] = file["/"]


def remove_config(file):
    del file.attrs["model_config"]


h5_file("innocent", "lambda", set_config(lambda_layer))
h5_file("innocent", "legacy-lambda", set_config(legacy_lambda))
h5_file("Mine", "custom-layer", set_config(legacy_custom))
h5_file("get_file", "download", set_config(set_activation(function("keras.utils", "get_file"))))
for inside in (False, True):
    h5_file("passwd", "external-storage", replace_kernel(external_storage), inside_keras=inside)
    h5_file("skerry-hostile-other", "external-link", replace_kernel(external_link), inside_keras=inside)
    h5_file("link", "soft-link", replace_kernel(soft_link), inside_keras=inside)
    h5_file("other files", "virtual", replace_kernel(virtual), inside_keras=inside)
    h5_file("allowed", "shape-bomb", replace_kernel(huge), inside_keras=inside)
h5_file("two names", "cycle", make_cycle)
h5_file("whole model", "weights-only", remove_config, code=DAMAGED)
path_of("truncated", "half", "h5", DAMAGED).write_bytes(H5[: len(H5) // 2])


# SavedModels.
def graph(body):
    class Model(tf.Module):
        def __init__(self):
            self.weight = tf.Variable(2.0)

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
        def __call__(self, x):
            return {"y": body(x) * self.weight}

    return Model()


def saved_model(names, what, module, change=None, more=None, signatures=None, options=None, code=UNSAFE):
    folder = OUT / "folder"
    tf.saved_model.save(module, str(folder), signatures=signatures or module.__call__, options=options)
    if change is not None:
        saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        change(saved.meta_graphs[0])
        (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    with tarfile.open(path_of(names, what, "tar.gz", code), "w:gz") as archive:
        archive.add(folder, "model")
        for name in more or []:
            archive.add(folder / "saved_model.pb", f"model/{name}")
    shutil.rmtree(folder)


def after(operation):
    def body(x):
        with tf.control_dependencies([operation(x)]):
            return tf.identity(x)

    return body


def write_file(x):
    return tf.io.write_file(CANARY, "written")


def in_a_branch(x):
    return tf.cond(tf.reduce_sum(x) > 1e30, lambda: after(write_file)(x), lambda: x)


def in_a_loop(x):
    return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, after(write_file)(y)), [0, x])[1]


def in_a_map(x):
    return tf.map_fn(lambda row: after(write_file)(row), x)


def python(x):
    return tf.ensure_shape(tf.py_function(lambda y: y, [x], tf.float32), x.shape)


def numpy_function(x):
    return tf.ensure_shape(tf.numpy_function(lambda y: y, [x], tf.float32), x.shape)


def read_text(x):
    return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)


def read_lines(x):
    return x + tf.data.TextLineDataset("/etc/passwd").reduce(0.0, lambda count, _: count + 1)


def read_snapshot(x):
    return x + tf.data.Dataset.range(3).snapshot(CANARY).reduce(0.0, lambda count, _: count + 1)


def cache_in_a_file(x):
    return x + tf.data.Dataset.range(3).cache(CANARY).reduce(0.0, lambda count, _: count + 1)


def read_descriptor(x):
    decoded = tf.raw_ops.DecodeProtoV2(
        bytes=["x"], message_type="M", field_names=["f"], output_types=[tf.float32], descriptor_source="/etc/passwd"
    )
    return x + tf.reduce_sum(decoded.values[0])


def sample_vocabulary(x):
    sampled = tf.raw_ops.FixedUnigramCandidateSampler(
        true_classes=[[tf.constant(1, tf.int64)]], num_true=1, num_sampled=1, unique=True, range_max=3,
        vocab_file="/etc/passwd",
    )
    return x + tf.cast(sampled.sampled_candidates[0], tf.float32)


def print_to_file(x):
    return tf.print("x", x, output_stream=f"file://{CANARY}")


def save(x):
    return tf.raw_ops.SaveV2(prefix=CANARY, tensor_names=["x"], shape_and_slices=[""], tensors=[x])


def restore(x):
    return x + tf.raw_ops.RestoreV2(prefix="/tmp/other", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32])[0]


def match(x):
    return x + tf.cast(tf.size(tf.io.matching_files("/etc/*")), tf.float32)


def summarize(x):
    return tf.raw_ops.WriteScalarSummary(
        writer=tf.raw_ops.SummaryWriter(), step=tf.constant(0, tf.int64), tag="t", value=1.0
    )


for what, body, operator in [
    ("write", after(write_file), "WriteFile"),
    ("in-a-branch", in_a_branch, "WriteFile"),
    ("in-a-loop", in_a_loop, "WriteFile"),
    ("in-a-map", in_a_map, "WriteFile"),
    ("python", python, "EagerPyFunc"),
    ("numpy", numpy_function, "PyFunc"),
    ("read", read_text, "ReadFile"),
    ("read-lines", read_lines, "TextLineDataset"),
    ("snapshot", read_snapshot, "SnapshotDatasetV2"),
    ("cache", cache_in_a_file, "CacheDatasetV2"),
    ("descriptor", read_descriptor, "DecodeProtoV2"),
    ("sampler", sample_vocabulary, "FixedUnigramCandidateSampler"),
    ("print", after(print_to_file), "PrintV2"),
    ("save", after(save), "SaveV2"),
    ("restore", restore, "RestoreV2"),
    ("match", match, "MatchingFiles"),
    ("summary", after(summarize), "SummaryWriter"),
]:
    saved_model(operator, what, graph(body))


class Vocabulary(tf.Module):
    """Has a table that is read from an asset: harmless, until the asset is another file."""

    def __init__(self, filename):
        self.file = tf.saved_model.Asset(filename) if "/skerry" not in filename else None
        initializer = tf.lookup.TextFileInitializer(
            filename, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(initializer, -1)

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.string, name="word")])
    def __call__(self, word):
        return {"number": self.table.lookup(word)}


words = OUT / "words.txt"
words.write_text("one\ntwo\n")


def leave(meta_graph):
    meta_graph.asset_file_def[0].filename = "../../../../../etc/passwd"


def read_passwd_instead(meta_graph):
    """The table's file becomes a constant of the graph, which is no asset any more."""
    del meta_graph.asset_file_def[:]


saved_model("passwd", "asset-outside", Vocabulary(str(words)), leave)
saved_model("InitializeTableFromTextFileV2", "table-of-another-file", Vocabulary(str(words)), read_passwd_instead)


def save_while_restoring(meta_graph):
    meta_graph.saver_def.restore_op_name = meta_graph.saver_def.save_tensor_name.partition(":")[0]


def save_while_initializing(meta_graph):
    signature = meta_graph.signature_def["__saved_model_init_op"]
    signature.outputs["__saved_model_init_op"].name = meta_graph.saver_def.save_tensor_name


def rename_writer(meta_graph):
    """A function that writes hides under the name of one that restores."""
    for function in meta_graph.graph_def.library.function:
        if any(node.op == "WriteFile" for node in function.node_def):
            function.signature.name = "__inference__traced_restore_99"


saved_model("SaveV2", "save-while-restoring", graph(lambda x: x), save_while_restoring)
saved_model("SaveV2", "save-while-initializing", graph(lambda x: x), save_while_initializing)
saved_model("WriteFile", "hidden-name", graph(after(write_file)), rename_writer)
saved_model("saved_model.pbtxt", "two-forms", graph(lambda x: x), more=["saved_model.pbtxt"], code=DAMAGED)
plus, minus = graph(lambda x: x), graph(lambda x: -x)
several = {"classify": plus.__call__, "other": minus.__call__}
plus.other = minus
saved_model("classify", "no-signature", plus, signatures=several, code="unknown-signature")
words.unlink()


# TensorFlow.js.
def tfjs(names, what, topology, manifest, shards, code=UNSAFE, more=None):
    with zipfile.ZipFile(path_of(names, what, "zip", code), "w") as archive:
        model_json = {"format": "x", "modelTopology": topology, "weightsManifest": manifest, **(more or {})}
        archive.writestr("model.json", json.dumps(model_json))
        for name, content in shards.items():
            archive.writestr(name, content)


def node(name, operator, *inputs, **attributes):
    return {"name": name, "op": operator, "input": list(inputs), "attr": attributes}


FLOAT, TEXT = {"type": "DT_FLOAT"}, {"type": "DT_STRING"}
PLACEHOLDER = node("x", "Placeholder", dtype=FLOAT, shape={"shape": {"dim": [{"size": "1"}, {"size": "4"}]}})
CONSTANT = node("w", "Const", dtype=FLOAT, value={"tensor": {"dtype": "DT_FLOAT", "tensorShape": {}}})
MULTIPLY = node("y", "Mul", "x", "w", T=FLOAT)
WEIGHTS = [{"name": "w", "shape": [4], "dtype": "float32"}]
SHARD = np.float32([1, 2, 3, 4]).tobytes()
MANIFEST = [{"paths": ["shard"], "weights": WEIGHTS}]
GRAPH = {"node": [PLACEHOLDER, CONSTANT, MULTIPLY]}
ASSET = {"value": {"tensor": {"dtype": "DT_STRING", "tensorShape": {}, "stringVal": ["L2V0Yy9wYXNzd2Q="]}}}
READ = [node("path", "Const", dtype=TEXT, **ASSET), node("text", "ReadFile", "path")]
FUNCTION = {"signature": {"name": "f"}, "nodeDef": [node("text", "ReadFile", "path")]}
LAYERS = {"model_config": {"class_name": "Sequential", "config": {"name": "s", "layers": []}}}


def layers(class_name, config):
    topology = copy.deepcopy(LAYERS)
    topology["model_config"]["config"]["layers"] = [{"class_name": class_name, "config": config}]
    return topology


tfjs("ReadFile", "reads", {"node": [*GRAPH["node"], *READ]}, MANIFEST, {"shard": SHARD})
tfjs("ReadFile", "in-a-function", {**GRAPH, "library": {"function": [FUNCTION]}}, MANIFEST, {"shard": SHARD})
tfjs("innocent", "lambda", layers("Lambda", {"name": "innocent", "batch_input_shape": [None, 4]}), [], {})
tfjs("Mine", "custom-layer", layers("Mine", {"name": "innocent", "batch_input_shape": [None, 4]}), [], {})
for what, name in [("parent", "../../etc/passwd"), ("absolute", "/etc/passwd"), ("address", "http://127.0.0.1/x")]:
    tfjs("leaves", f"shard-{what}", GRAPH, [{"paths": [name], "weights": WEIGHTS}], {}, code="unsafe-archive")
tfjs("shard", "shard-missing", GRAPH, MANIFEST, {}, code=DAMAGED)
tfjs("missing", "shard-short", GRAPH, MANIFEST, {"shard": SHARD[:10]}, code=DAMAGED)
tfjs("too many", "shard-long", GRAPH, MANIFEST, {"shard": SHARD * 2}, code=DAMAGED)
huge_weights = [{"paths": ["shard"], "weights": [{"name": "w", "shape": [1 << 40], "dtype": "float32"}]}]
tfjs("missing", "shape-bomb", GRAPH, huge_weights, {"shard": SHARD}, code=DAMAGED)
tfjs("modelTopology", "no-topology", None, MANIFEST, {"shard": SHARD}, code=DAMAGED)
