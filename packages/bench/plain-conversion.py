"""What a person would write: the four variants of a Keras model, the documented way, with nothing around it.

    plain-conversion.py MODEL CALIBRATION.npz SAMPLES OUT_DIR

Prints how many seconds it took after its imports. One export with a batch of 1, which the four conversions share, was the
fastest documented way here: from_keras_model exports the model anew for each.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

# Looked up by name, and only then imported.
TFLiteConverter = tf.lite.TFLiteConverter
load_model = keras.models.load_model


def main(model_path, calibration_path, samples, out):
    started = time.monotonic()
    model = load_model(model_path, compile=False)
    shape = [1, *model.inputs[0].shape[1:]]
    export = os.path.join(out, "export")
    model.export(export, input_signature=[tf.TensorSpec(shape, model.inputs[0].dtype)], verbose=False)
    with np.load(calibration_path) as arrays:
        pictures = arrays[arrays.files[0]][:samples]

    def representative_dataset():
        for index in range(len(pictures)):
            yield [pictures[index : index + 1]]

    for variant in ("float32", "float16", "dynamic_int8", "full_int8"):
        converter = TFLiteConverter.from_saved_model(export)
        if variant != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if variant == "full_int8":
            converter.representative_dataset = representative_dataset
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        with open(os.path.join(out, f"{variant}.tflite"), "wb") as file:
            file.write(converter.convert())
    print(time.monotonic() - started)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
