"""The second engine: litert-quantizer makes quantized variants from the float32 variant."""

from skerry_converter.export import SIGNATURE
from skerry_converter.tflite_file import TfliteFile, with_inline_buffers, with_versions
from skerry_converter.variants import CALIBRATED

WEIGHT_BITS = 8
ACTIVATION_BITS = {"full_int8": 8, "int16x8": 16}


def quantize(float_content, recipe, calibration, on_sample):
    """Returns (bytes of the .tflite file, options used). `calibration` maps signature names to arrays."""
    import tensorflow as tf
    from litert_quantizer.calibrator import Calibrator
    from litert_quantizer.quantizer import Quantizer
    from litert_quantizer.utils.qsv_utils import min_max_update
    from tensorflow.lite.python.util import modify_model_io_type

    variant, input_type = recipe["variant"], recipe["inputType"]
    options = {"algorithm": "min_max_uniform_quantize", "perChannel": recipe["perChannel"], "inputType": input_type}
    rules = _rules(recipe)
    engine = Quantizer(float_content, rules.get_quantization_recipe())
    statistics = None
    if variant in CALIBRATED:
        samples = _Samples(calibration, on_sample)
        # Its default is a moving average of each sample's range, which cuts off what only some samples have: a small
        # model that finds bright spots had 2.9 dB that way. One thread, so that sums are always in the same order.
        calibrator = Calibrator(float_content, num_threads=1, qsv_update_func=min_max_update)
        calibrator.calibrate({SIGNATURE: samples}, rules)
        statistics = calibrator.get_model_qsvs()
        options["calibrationSamples"] = len(samples)
    result = engine.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    # Its operators all have version 1, with which an old runtime takes a file that it then answers wrongly: a constant,
    # and no error, where float operators have int8 weights with a scale for each channel.
    content = with_inline_buffers(bytes(result.quantized_model))
    content = with_versions(content, TfliteFile(content).hybrid_versions())
    if input_type == "uint8":
        # It has no unsigned types of its own.
        content = bytes(modify_model_io_type(content, tf.uint8, tf.uint8))
    if recipe.get("floatLayers"):
        options["floatLayers"] = list(recipe["floatLayers"])
    return content, options


class _Samples:
    """Can be iterated again: the calibrator first counts them."""

    def __init__(self, calibration, on_sample):
        self._calibration, self._on_sample = calibration, on_sample

    def __len__(self):
        return len(next(iter(self._calibration.values())))

    def __iter__(self):
        for index in range(len(self)):
            self._on_sample(index, len(self))
            yield {name: array[index : index + 1] for name, array in self._calibration.items()}


def _rules(recipe):
    """Later rules win, and those of one pattern replace each other: so each has a pattern of its own."""
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.qtyping import QuantGranularity, TFLOperationName
    from litert_quantizer.recipe_manager import RecipeManager

    rules = RecipeManager()
    everything = TFLOperationName.ALL_SUPPORTED
    granularity = QuantGranularity.CHANNELWISE if recipe["perChannel"] else QuantGranularity.TENSORWISE
    if recipe["variant"] == "dynamic_int8":
        rules.add_dynamic_config(".*", everything, WEIGHT_BITS, granularity)
    else:
        bits = ACTIVATION_BITS[recipe["variant"]]
        rules.add_static_config(".*", everything, bits, WEIGHT_BITS, weight_granularity=granularity)
    for pattern in recipe.get("floatLayers") or []:
        rules.add_quantization_config(f"(?:{pattern})", everything, algorithm_key=AlgorithmName.NO_QUANTIZE)
    if recipe["inputType"] != "int8":
        for border in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            rules.add_quantization_config("(?s:.*)", border, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return rules
