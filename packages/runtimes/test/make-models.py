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
