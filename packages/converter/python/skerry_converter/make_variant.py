"""Makes each recipe's file, and tells of it."""

import time

from skerry_converter.attempts import PROCESS_ENDED, NoWay, check_weights, convert_by_ways
from skerry_converter.export import export, exported_weights, open_batch
from skerry_converter.metadata import describe
from skerry_converter.protocol import ConversionFailure, last_words
from skerry_converter.quantizer import quantize
from skerry_converter.tflite_file import TfliteFile
from skerry_converter.ways import ways_for

QUANTIZER = "litert-quantizer"
# What litert-quantizer starts from.
FLOAT = {
    "name": "float32",
    "variant": "float32",
    "engine": "tflite-converter",
    "inputType": "float32",
    "perChannel": True,
    "batch": "fixed",
}


class VariantMaker:
    """All recipes of one source. `calibration` maps names of the export to arrays; `about` goes into each file."""

    def __init__(self, source, shapes, export_path, calibration, about, work, events):
        self._source, self._shapes, self._export_path = source, shapes, export_path
        self._calibration, self._about, self._work, self._events = calibration, about, work, events
        self._weights = None
        self._float = None

    def make(self, recipe, index, count):
        name = recipe["name"]

        def progress(share, text):
            self._events.progress(f"convert {name}", 30 + 70 * (index + share) / count, text)

        def on_sample(sample, total):
            if sample % 10 == 0:
                progress(0.3 + 0.5 * sample / total, f"{name}: calibrating on sample {sample + 1} of {total}")

        self._events.emit("converting", variant=name)
        progress(0, f"converting {name}")
        started = time.monotonic()
        path = self._work / f"{name}.tflite"
        try:
            content, options = self._content(recipe, on_sample)
            flex = TfliteFile(content).flex_operators()
            if flex:
                options["selectTfOps"] = flex
            path.write_bytes(describe(content, recipe, self._source.outputs[0].signature_name, **self._about))
        except (NoWay, ConversionFailure) as failure:
            self._events.emit("variant", variant=name, error=str(failure))
            return
        except Exception as error:  # the other variants may well work
            self._events.emit("variant", variant=name, error=f"{type(error).__name__}: {last_words(error)}")
            return
        milliseconds = round((time.monotonic() - started) * 1000)
        self._events.emit("variant", variant=name, path=str(path), options=options, milliseconds=milliseconds)

    def _content(self, recipe, on_sample):
        if recipe["engine"] == QUANTIZER:
            return self._quantized(recipe, on_sample)
        content, options = self._converted(recipe, recipe["name"], on_sample)
        if recipe == FLOAT:
            self._float = content, options["way"]
        return content, options

    def _quantized(self, recipe, on_sample):
        if self._float is None:
            content, options = self._converted(FLOAT, recipe["name"], on_sample)
            self._float = content, options["way"]
        content, way = self._float
        self._tell(recipe["name"], QUANTIZER, "failed", 0, PROCESS_ENDED)
        started = time.monotonic()
        try:
            quantized, options = quantize(content, recipe, self._calibration, on_sample)
            check_weights(TfliteFile(quantized), self._weights)
        except Exception as error:
            self._attempt(recipe["name"], QUANTIZER, "failed", started, f"{type(error).__name__}: {last_words(error)}")
            raise
        self._attempt(recipe["name"], QUANTIZER, "converted", started)
        return quantized, {**options, "floatWay": way, "way": QUANTIZER}

    def _attempt(self, variant, way, outcome, started, error=None):
        milliseconds = round((time.monotonic() - started) * 1000)
        self._tell(variant, way, outcome, milliseconds, error)

    def _tell(self, variant, way, outcome, milliseconds, error):
        said = {} if error is None else {"error": error}
        self._events.emit("attempt", variant=variant, way=way, outcome=outcome, milliseconds=milliseconds, **said)

    def _converted(self, recipe, variant, on_sample):
        is_open = recipe["batch"] == "dynamic"
        shapes, export_path = self._shapes, self._export_path
        if is_open:
            shapes = [open_batch(t, shape) for t, shape in zip(self._source.inputs, shapes, strict=True)]
            export_path = self._work / "export-open"
            if not export_path.exists():
                export(self._source, shapes, export_path)
        if self._weights is None:
            self._weights = exported_weights(self._export_path)
        by_name = {t.signature_name: shape for t, shape in zip(self._source.inputs, shapes, strict=True)}
        return convert_by_ways(
            ways_for(self._source, shapes, export_path, is_open),
            recipe,
            self._calibration,
            by_name,
            self._weights,
            lambda *attempt: self._tell(variant, *attempt),
            on_sample,
        )
