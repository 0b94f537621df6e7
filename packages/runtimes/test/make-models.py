"""Makes the small models that the tests run. Argument: the folder to write them to."""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf

folder = sys.argv[1]
rng = np.random.default_rng(7)
tf.keras.utils.set_random_seed(7)


def write(name, converter):
    with open(os.path.join(folder, name + ".tflite"), "wb") as file:
        file.write(converter.convert())


def from_module(module, path):
    saved = os.path.join(folder, path)
    tf.saved_model.save(module, saved, signatures=module.run)
    return tf.lite.TFLiteConverter.from_saved_model(saved)


class Pair(tf.Module):
    """Inputs and outputs of equal shape, named so that neither list is in alphabetical order."""

    @tf.function(input_signature=[tf.TensorSpec([1, 4], name="zulu"), tf.TensorSpec([1, 4], name="alpha")])
    def run(self, zulu, alpha):
        return {"minus": zulu - 2 * alpha, "add": zulu + alpha, "positive": zulu > 0}


class Count(tf.Module):
    """Counts up to its input one by one: the input decides how long it runs."""

    @tf.function(input_signature=[tf.TensorSpec([1], tf.int32, name="limit")])
    def run(self, limit):
        return {"count": tf.while_loop(lambda i: tf.reduce_all(i < limit), lambda i: [i + 1], [tf.zeros([1], tf.int32)])[0]}


class Wide(tf.Module):
    """64-bit integers."""

    @tf.function(input_signature=[tf.TensorSpec([3], tf.int64, name="x")])
    def run(self, x):
        return {"y": x + x}


class Several(tf.Module):
    """Two signatures over subgraphs of their own."""

    @tf.function(input_signature=[tf.TensorSpec([2], name="x")])
    def double(self, x):
        return {"y": 2 * x}

    @tf.function(input_signature=[tf.TensorSpec([3], name="a"), tf.TensorSpec([3], name="b")])
    def sum(self, a, b):
        return {"total": a + b}


class Words(tf.Module):
    """A tensor of strings at the border."""

    @tf.function(input_signature=[tf.TensorSpec([2], tf.string, name="words")])
    def run(self, words):
        return {"same": tf.gather(words, [1, 0])}


class Half(tf.Module):
    """float16 at both borders."""

    @tf.function(input_signature=[tf.TensorSpec([4], tf.float16, name="x")])
    def run(self, x):
        return {"y": tf.reshape(x, [2, 2])}


several, saved = Several(), os.path.join(folder, "saved-several")
tf.saved_model.save(several, saved, signatures={"double": several.double, "sum": several.sum})
write("several", tf.lite.TFLiteConverter.from_saved_model(saved))
write("words", from_module(Words(), "saved-words"))
write("half", from_module(Half(), "saved-half"))
write("pair", from_module(Pair(), "saved-pair"))
write("count", from_module(Count(), "saved-count"))
write("wide", from_module(Wide(), "saved-wide"))

layers = tf.keras.layers
model = tf.keras.Sequential([
    layers.Input((8, 8, 3), batch_size=1),
    layers.Conv2D(6, 3, activation="relu"),
    layers.Conv2D(8, 3, activation="relu"),
    layers.Flatten(),
    layers.Dense(5),
])
for name, between in {"pooled": layers.GlobalAveragePooling2D(), "flattened": layers.Flatten()}.items():
    # With a dynamic batch; Flatten then computes its output's shape.
    loose = tf.keras.Sequential([
        layers.Input((8, 8, 3)),
        layers.Conv2D(6, 3, activation="relu"),
        between,
        layers.Dense(5),
    ])
    loose.export(os.path.join(folder, "saved-" + name), verbose=False)
    write(name, tf.lite.TFLiteConverter.from_saved_model(os.path.join(folder, "saved-" + name)))
samples = rng.normal(size=(100, 1, 8, 8, 3)).astype(np.float32)
saved = os.path.join(folder, "saved-small")
model.export(saved, verbose=False)


def quantized(name, configure):
    converter = tf.lite.TFLiteConverter.from_saved_model(saved)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    configure(converter)
    write(name, converter)


def calibrated(dtype, ops, per_channel_dense=False):
    def configure(converter):
        converter._experimental_disable_per_channel_quantization_for_dense_layers = not per_channel_dense
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [ops]
        converter.inference_input_type = converter.inference_output_type = dtype

    return configure


quantized("int8", calibrated(tf.int8, tf.lite.OpsSet.TFLITE_BUILTINS_INT8))
quantized("uint8", calibrated(tf.uint8, tf.lite.OpsSet.TFLITE_BUILTINS_INT8))
quantized("int8-per-channel", calibrated(tf.int8, tf.lite.OpsSet.TFLITE_BUILTINS_INT8, per_channel_dense=True))
quantized("int16", calibrated(tf.int16, tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8))

wide = tf.keras.Sequential([layers.Input((64,), batch_size=1), layers.Dense(64, activation="relu"), layers.Dense(5)])
saved = os.path.join(folder, "saved-dense")
wide.export(saved, verbose=False)
quantized("dynamic-int8", lambda converter: None)
