"""Writes real networks whose layers a test looks into. Argument: an empty folder.

mobilenet-v2.tflite: MobileNetV2 1.0 for 224x224, random weights: only its graph matters.
float32.tflite, full_int8.tflite: MobileNetV2 0.35 for 96x96 with statistics of its own, and samples.npz.
damaged.tflite: full_int8 with one layer's weights negated; damaged.txt: the name of what that layer writes.
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

out = Path(sys.argv[1])
keras.utils.set_random_seed(5)
random = np.random.default_rng(5)


def converter_of(model):
    path = out / "export"
    signature = [tf.TensorSpec([1, *model.input_shape[1:]], tf.float32, name="image")]
    module = tf.Module()
    module.serve = tf.function(lambda image: {"y": model(image, training=False)}, input_signature=signature)
    module.owned = [weight.value for weight in model.weights]
    tf.saved_model.save(module, str(path), signatures=module.serve)
    return tf.lite.TFLiteConverter.from_saved_model(str(path))


(out / "mobilenet-v2.tflite").write_bytes(converter_of(keras.applications.MobileNetV2(weights=None)).convert())

# Smooth pictures: noise leaves nothing after so many layers.
coarse = random.uniform(-1, 1, (96, 6, 6, 3))
pictures = np.asarray(tf.image.resize(coarse, (96, 96), method="bicubic"), dtype=np.float32).clip(-1, 1)
model = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None, pooling="avg")
for layer in model.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.momentum = 0.3
for _ in range(8):
    model(pictures[:64], training=True)
np.savez(out / "samples.npz", **{"x:picture": pictures[64:]})
(out / "float32.tflite").write_bytes(converter_of(model).convert())
quantizing = converter_of(model)
quantizing.optimizations = [tf.lite.Optimize.DEFAULT]
quantizing.representative_dataset = lambda: ({"image": picture[None]} for picture in pictures[:32])
quantizing.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
quantizing.inference_input_type = quantizing.inference_output_type = tf.int8
content = bytearray(quantizing.convert())
(out / "full_int8.tflite").write_bytes(content)

interpreter = Interpreter(
    model_content=bytes(content), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
)
interpreter.allocate_tensors()
convolutions = [each for each in interpreter._get_ops_details() if each["op_name"] == "CONV_2D"]
chosen = convolutions[len(convolutions) // 3]
weights = interpreter.get_tensor(chosen["inputs"][1])
at = content.index(weights.tobytes())
content[at : at + weights.size] = (-weights).tobytes()
(out / "damaged.tflite").write_bytes(content)
names = {detail["index"]: detail["name"] for detail in interpreter.get_tensor_details()}
(out / "damaged.txt").write_text(names[chosen["outputs"][0]])
