"""The recipes, plainly: what a script without Skerry would write. The mutation table is about the judge alone."""

import numpy as np
import tensorflow as tf

RECIPES = ("float32", "float16", "dynamic_int8", "full_int8", "int16x8")
SIGNATURE = "serving_default"


def call(model, arrays):
    """Outputs in the model's order."""
    answers = model(arrays if len(arrays) > 1 else arrays[0], training=False)
    return answers if isinstance(answers, list) else [answers]


def export(model, path):
    specs = {
        tensor.name: tf.TensorSpec([1, *tensor.shape[1:]], tensor.dtype, name=tensor.name) for tensor in model.inputs
    }

    def serve(inputs):
        answers = call(model, [inputs[tensor.name] for tensor in model.inputs])
        return dict(zip(model.output_names, answers, strict=True))

    function = tf.function(serve, input_signature=[specs])
    module = tf.Module()
    module.captured = list(function.get_concrete_function().graph.variables)
    tf.saved_model.save(module, str(path), signatures={SIGNATURE: function})


def convert(path, recipe, calibration, per_channel=True):
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path), signature_keys=[SIGNATURE])

    def samples():
        for index in range(len(next(iter(calibration.values())))):
            yield SIGNATURE, {name: np.float32(array[index : index + 1]) for name, array in calibration.items()}

    if recipe != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if recipe == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if recipe in ("full_int8", "int16x8"):
        converter.representative_dataset = samples
    if recipe == "full_int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if recipe == "int16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    converter._experimental_disable_per_channel = not per_channel
    return converter.convert()
