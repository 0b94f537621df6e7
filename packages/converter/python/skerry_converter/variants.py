"""The recipes: what tf.lite.TFLiteConverter is told for each variant."""

from skerry_converter.export import SIGNATURE

CALIBRATED = ("full_int8", "int16x8")


def convert_variant(variant, export_path, calibration, on_sample):
    """Returns (bytes of the .tflite file, options used). `calibration` maps signature names to arrays."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(export_path), signature_keys=[SIGNATURE])
    options = {"optimizations": [], "supportedOps": ["TFLITE_BUILTINS"]}

    def representative_dataset():
        count = len(next(iter(calibration.values())))
        for index in range(count):
            on_sample(index, count)
            yield SIGNATURE, {name: array[index : index + 1] for name, array in calibration.items()}

    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        options["optimizations"] = ["DEFAULT"]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
        options["supportedTypes"] = ["float16"]
    if variant in CALIBRATED:
        converter.representative_dataset = representative_dataset
        options["calibrationSamples"] = len(next(iter(calibration.values())))
    if variant == "full_int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        options |= {"supportedOps": ["TFLITE_BUILTINS_INT8"], "inputType": "int8", "outputType": "int8"}
    if variant == "int16x8":
        name = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
        converter.target_spec.supported_ops = [tf.lite.OpsSet[name]]
        options["supportedOps"] = [name]
    return converter.convert(), options
