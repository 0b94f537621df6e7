"""Writes the small models and the data that the tests convert. Argument: an empty folder."""

import os
import sys
import tarfile
import zipfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

out = Path(sys.argv[1])
keras.utils.set_random_seed(3)
random = np.random.default_rng(3)


def pictures(count):
    """8x8 noise with a bright spot on the left (0) or on the right (1)."""
    x = random.normal(0, 0.3, (count, 8, 8, 1)).astype(np.float32)
    y = random.permutation(np.arange(count) % 2)
    for index in range(count):
        row, column = random.integers(0, 8), random.integers(0, 3) + 5 * y[index]
        x[index, row, column] += 2
    return np.clip(x, -2, 3), y


train, train_labels = pictures(600)
held_out, held_out_labels = pictures(96)
sides = keras.Sequential(
    [
        keras.Input((8, 8, 1), name="picture"),
        keras.layers.Conv2D(8, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid", name="right"),
    ]
)
sides.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
sides.fit(train, train_labels, epochs=15, batch_size=50, verbose=0)
sides.save(out / "sides.keras")
np.savez(out / "sides-calibration.npz", picture=train[:80])
np.savez_compressed(out / "sides-evaluation.npz", picture=held_out, y=held_out_labels)
np.savez(out / "sides-few.npz", picture=held_out[:20])
np.savez(out / "sides-misshapen.npz", picture=held_out[:, :7])
# Activations calibrated on such values leave every real picture within one step of quantization.
np.savez(out / "sides-garbage.npz", picture=random.uniform(-1000, 1000, (80, 8, 8, 1)).astype(np.float32))

# Weights of zero: the answer is .5 to everything.
for weight in sides.weights:
    weight.assign(tf.zeros_like(weight))
sides.save(out / "constant.h5")

# Inputs and outputs of equal shapes, in an order that the converter changes: only their names tell them apart.
left, right = keras.Input((4,), name="zeta"), keras.Input((4,), name="alpha-1")
joined = keras.layers.Concatenate()([keras.layers.Dense(6, activation="tanh")(left), right])
second = keras.layers.Dense(3, activation="softmax", name="second")(joined)
first = keras.layers.Dense(3, activation="softmax", name="first")(joined)
keras.Model([left, right], [second, first]).save(out / "pair.keras")
pair = {"zeta": random.normal(0, 1, (64, 4)), "alpha-1": random.normal(3, 2, (64, 4))}
pair = {name: array.astype(np.float32) for name, array in pair.items()}
np.savez(out / "pair-evaluation.npz", **pair)
# Each output by a model of its own, which has no order to get wrong.
answers = {"first": first, "second": second}
values = [pair["zeta"], pair["alpha-1"]]
np.savez(out / "pair-answers.npz", **{name: keras.Model([left, right], end)(values) for name, end in answers.items()})

lambda_input = keras.Input((4,))
keras.Model(lambda_input, keras.layers.Lambda(lambda x: x * 2)(lambda_input)).save(out / "lambda.keras")


class Doubler(tf.Module):
    def __init__(self):
        self.factor = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 5], tf.float32, name="numbers")])
    def __call__(self, numbers):
        return {"doubled": numbers * self.factor}


def save_archive(module, name):
    tf.saved_model.save(module, str(out / name), signatures=module.__call__)
    archive_folder(name)


def archive_folder(name):
    with tarfile.open(out / f"{name}.tar.gz", "w:gz") as archive:
        archive.add(out / name, name)


save_archive(Doubler(), "doubler")

# TensorFlow's calibrator dies of it.
sequence = keras.Input((10, 4), name="sequence")
keras.Model(sequence, keras.layers.Dense(3, name="scores")(keras.layers.LSTM(8)(sequence))).save(out / "lstm.keras")


class Trained(tf.Module):
    """Keeps the slots of an optimizer, as models do that were trained in Keras 2: loading it finds no class for that."""

    def __init__(self):
        self.weight, self.moment = tf.Variable(3.0), tf.Variable(0.0)
        self.optimizer = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def __call__(self, x):
        return {"sum": x + self.weight, "product": x * self.weight}


trained = Trained()
tf.saved_model.save(trained, str(out / "slots"), signatures=trained.__call__)
saved = saved_model_pb2.SavedModel.FromString((out / "slots/saved_model.pb").read_bytes())
nodes = saved.meta_graphs[0].object_graph_def.nodes
children = {child.local_name: child.node_id for child in nodes[0].children}
optimizer = nodes[children["optimizer"]]
optimizer.user_object.identifier = "optimizer"
optimizer.slot_variables.add(
    original_variable_node_id=children["weight"], slot_name="m", slot_variable_node_id=children["moment"]
)
(out / "slots/saved_model.pb").write_bytes(saved.SerializeToString())
archive_folder("slots")


class Writer(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def __call__(self, x):
        tf.io.write_file("/tmp/skerry-unsafe-model", "written")
        return {"same": x + 1}


class Saver(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def __call__(self, x):
        tf.raw_ops.SaveV2(prefix="/tmp/skerry-unsafe-model", tensor_names=["x"], shape_and_slices=[""], tensors=[x])
        return {"same": x + 1}


save_archive(Writer(), "writer")
save_archive(Saver(), "saver")
with tarfile.open(out / "link.tar.gz", "w:gz") as archive:
    archive.add(out / "doubler", "doubler")
    link = tarfile.TarInfo("doubler/assets/passwd")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive.addfile(link)
with zipfile.ZipFile(out / "escape.zip", "w") as archive:
    archive.writestr("doubler/saved_model.pb", b"")
    archive.writestr("../escaped.txt", b"outside")

# Whole as an archive, damaged inside: the weights end early.
with zipfile.ZipFile(out / "sides.keras") as whole, zipfile.ZipFile(out / "damaged.keras", "w") as damaged:
    for name in whole.namelist():
        content = whole.read(name)
        damaged.writestr(name, content[: len(content) // 2] if name.endswith(".h5") else content)

np.savez(
    out / "numbers.npz",
    flags=np.array([True, False]),
    bytes=np.arange(6, dtype=np.uint8).reshape(2, 3),
    short=np.array([-2, 300], dtype=np.int16),
    ints=np.array([[-1], [2**31 - 1]], dtype=np.int32),
    longs=np.array([-(2**53), 7], dtype=np.int64),
    floats=np.array([[[0.5, -1.25]]], dtype=np.float32),
    doubles=np.array([np.pi, np.inf]),
    scalar=np.float32(4),
)
