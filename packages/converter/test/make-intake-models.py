"""Writes models of the kinds that users bring, with data and the answers of what made them. Argument: an empty folder."""

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
from skimage import data, transform

OUT = Path(sys.argv[1])
keras.utils.set_random_seed(5)
layers = keras.layers
random = np.random.default_rng(5)


def write(name, inputs, outputs):
    np.savez(OUT / f"{name}-inputs.npz", **inputs)
    np.savez(OUT / f"{name}-outputs.npz", **{key: np.asarray(value) for key, value in outputs.items()})


# A face, as TensorFlow.js models take it.
face = data.astronaut()[0:256, 96:352] / 255
for size, channels in [(32, 3), (64, 1), (128, 3), (224, 3)]:
    picture = transform.resize(face, (size, size)).astype(np.float32)
    picture = picture.mean(-1, keepdims=True) if channels == 1 else picture
    np.savez(OUT / f"face-{size}.npz", x=picture[None])

# Keras, with a model inside of a model, texts and whole numbers.
inner_input = keras.Input((4, 4, 3))
inner = layers.BatchNormalization()(layers.DepthwiseConv2D(3, name="depthwise")(inner_input))
inner = keras.Model(inner_input, inner, name="inner")
pictures, steps = keras.Input((6, 6, 3), name="pictures"), keras.Input((5, 3), name="steps")
seen = layers.Flatten()(inner(layers.Conv2D(3, 3, name="convolution")(pictures)))
heard = layers.LSTM(4, name="sequence")(layers.Bidirectional(layers.GRU(2, return_sequences=True))(steps))
answer = layers.Dense(3, activation="softmax", name="answer")(layers.Concatenate()([seen, heard]))
model = keras.Model([pictures, steps], answer)
for variable in model.variables:
    if "seed" not in variable.path:
        variable.assign(random.uniform(0.1, 0.9, variable.shape))
values = {"pictures": random.normal(0, 1, (2, 6, 6, 3)), "steps": random.normal(0, 1, (2, 5, 3))}
values = {name: array.astype(np.float32) for name, array in values.items()}
model.save(OUT / "nested.keras")
model.save(OUT / "nested-3.h5")
write("nested", values, {"answer": model(list(values.values()))})

# The same as Keras 2 wrote it.
GONE = {"DepthwiseConv2D": {"groups": 1}, "LSTM": {"time_major": False}, "GRU": {"time_major": False}}


def age(value):
    if isinstance(value, list):
        return [age(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "DTypePolicy":
        return value["config"]["name"]
    if value.get("class_name") == "__keras_tensor__":
        return value
    aged = {key: age(each) for key, each in value.items() if key not in ("module", "registered_name", "build_config")}
    if isinstance(aged.get("config"), dict):
        aged["config"] |= GONE.get(aged.get("class_name"), {})
        if "batch_shape" in aged["config"]:
            aged["config"]["batch_input_shape"] = aged["config"].pop("batch_shape")
            aged["config"]["ragged"] = False
            aged["config"].pop("optional", None)
    return aged


shutil.copy(OUT / "nested-3.h5", OUT / "nested-2.h5")
with h5py.File(OUT / "nested-2.h5", "r+") as file:
    file.attrs["model_config"] = json.dumps(age(json.loads(file.attrs["model_config"])))
    file.attrs["keras_version"] = "2.15.0"

text, number = keras.Input((1,), dtype="string", name="text"), keras.Input((2,), dtype="int32", name="number")
words = layers.TextVectorization(max_tokens=20, output_sequence_length=4, name="vectorize")
words.adapt(["a warm house", "a cold mouse"])
embedded = layers.GlobalAveragePooling1D()(layers.Embedding(20, 4)(words(text)))
counted = layers.Flatten()(layers.Embedding(10, 2)(number))
model = keras.Model([text, number], layers.Dense(2, name="answer")(layers.Concatenate()([embedded, counted])))
values = {"text": np.array([["a warm mouse"], ["unknown"]]), "number": np.int32([[1, 2], [9, 0]])}
model.save(OUT / "text.keras")
write("text", values, {"answer": model([tf.constant(values["text"]), tf.constant(values["number"])])})


# SavedModels.
def pack(folder, name, kinds):
    for kind in kinds:
        if kind == "zip":
            shutil.make_archive(str(OUT / name), "zip", folder.parent, folder.name)
        else:
            with tarfile.open(OUT / f"{name}.{kind}", "w:gz" if kind == "tar.gz" else "w") as archive:
                archive.add(folder, folder.name)


class Several(tf.Module):
    def __init__(self):
        self.factor = tf.Variable(3.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def multiply(self, x):
        return {"product": x * self.factor}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.int64, name="n")])
    def negate(self, n):
        return {"negative": -n}


several = Several()
tf.saved_model.save(several, str(OUT / "several"), {"multiply": several.multiply, "negate": several.negate})
pack(OUT / "several", "several", ["zip", "tar", "tar.gz"])


class Vocabulary(tf.Module):
    def __init__(self, file):
        self.file = tf.saved_model.Asset(file)
        lines = tf.lookup.TextFileInitializer(
            self.file, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(lines, -1)

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.string, name="word")])
    def __call__(self, word):
        return {"number": self.table.lookup(word)}


(OUT / "words.txt").write_text("one\ntwo\n")
vocabulary = Vocabulary(str(OUT / "words.txt"))
tf.saved_model.save(vocabulary, str(OUT / "vocabulary"), vocabulary.__call__)
pack(OUT / "vocabulary", "vocabulary", ["zip"])
shutil.rmtree(OUT / "vocabulary")
words = np.array([["two"], ["three"]])
write("vocabulary", {"word": words}, {"number": vocabulary(tf.constant(words))["number"]})

# As TensorFlow 1 saved, with a graph for training beside the one for serving.
v1 = tf.compat.v1
with tf.Graph().as_default(), v1.Session() as session:
    x = v1.placeholder(tf.float32, [None, 3], "x")
    weight = v1.get_variable("weight", initializer=tf.constant([1.0, 2.0, 3.0]), use_resource=False)
    y = tf.reduce_sum(x * weight, 1, keepdims=True)
    session.run(v1.global_variables_initializer())
    signature = v1.saved_model.signature_def_utils.predict_signature_def({"x": x}, {"y": y})
    builder = v1.saved_model.Builder(str(OUT / "old"))
    builder.add_meta_graph_and_variables(session, ["train"])
    builder.add_meta_graph(["serve"], {"serving_default": signature})
    builder.save()
pack(OUT / "old", "old", ["zip"])
shutil.rmtree(OUT / "old")
write("old", {"x": np.float32([[1, 1, 1], [1, 0, -1]])}, {"y": [[6.0], [-2.0]]})

# More than 65,535 entries' worth of sizes are not needed for zip64: it may be forced.
with zipfile.ZipFile(OUT / "zip64.zip", "w") as archive:
    for path in sorted((OUT / "several").rglob("*")):
        if path.is_file():
            with archive.open(f"several/{path.relative_to(OUT / 'several')}", "w", force_zip64=True) as entry:
                entry.write(path.read_bytes())
