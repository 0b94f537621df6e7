"""The recipes of TensorFlow's own converter: what it is told for each variant."""

CALIBRATED = ("full_int8", "int16x8")
INT16X8 = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"


def configure(converter, recipe, representative, select_tf_ops=False):
    """Sets the converter up for a recipe and returns the options used.

    `representative` is a function that yields the calibration samples as the converter takes them.
    """
    import tensorflow as tf

    variant, input_type = recipe["variant"], recipe["inputType"]
    supported = ["TFLITE_BUILTINS"]
    options = {"optimizations": []}
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        options["optimizations"] = ["DEFAULT"]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
        options["supportedTypes"] = ["float16"]
    if variant in CALIBRATED:
        converter.representative_dataset = representative
    if variant == "full_int8":
        supported = ["TFLITE_BUILTINS_INT8"]
        if input_type != "float32":
            converter.inference_input_type = converter.inference_output_type = tf.as_dtype(input_type)
        options |= {"inputType": input_type, "outputType": input_type}
    if variant == "int16x8":
        supported = [INT16X8]
    if select_tf_ops:
        supported.append("SELECT_TF_OPS")
    converter.target_spec.supported_ops = [tf.lite.OpsSet[name] for name in supported]
    options["supportedOps"] = supported
    if not recipe["perChannel"]:
        converter._experimental_disable_per_channel = True
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        options["perChannel"] = False
    return options
