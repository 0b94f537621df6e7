"""One conversion, from the source file to the variants and to what they are compared with.

Request: {id, sourcePath, format: keras|h5|savedmodel, variants, calibrationPath?, evaluationPath?, workDir, resume?}.
`resume` is true where an earlier process exported the model into the same workDir and died in a variant: then neither
`described` nor `exported` is emitted again.
Events, beside those of protocol.py:
  described   {inputs, outputs, names, reference, converter}
  exported    {exportPath, samplesPath, referencePath, data: uploaded|generated}
  converting  {variant}
  variant     {variant, path, options, milliseconds} or {variant, error}
"""

import time
from dataclasses import replace
from pathlib import Path

from skerry_converter.export import export, fixed_shape
from skerry_converter.keras_model import load_keras
from skerry_converter.protocol import last_words
from skerry_converter.samples import generate_samples, read_samples
from skerry_converter.saved_model import load_saved_model
from skerry_converter.variants import CALIBRATED, convert_variant

REFERENCE_BATCH = 16


def convert(request, events):
    work = Path(request["workDir"])
    resume = request.get("resume", False)
    events.progress("start", 0, "loading TensorFlow")
    import tensorflow as tf

    events.progress("load", 8, "reading the model")
    source = _load(Path(request["sourcePath"]), request["format"], work)
    if not resume:
        events.emit(
            "described",
            inputs=[tensor.describe() for tensor in source.inputs],
            outputs=[tensor.describe() for tensor in source.outputs],
            names=source.names(),
            reference={"name": source.engine, "version": source.version},
            converter={"name": "tf.lite.TFLiteConverter", "version": tf.__version__},
        )

    evaluation, labels, calibration = None, None, None
    if request.get("evaluationPath"):
        evaluation, labels = read_samples(request["evaluationPath"], source.inputs, "evaluation")
    if request.get("calibrationPath"):
        calibration, _ = read_samples(request["calibrationPath"], source.inputs, "calibration")
    shown = evaluation if evaluation is not None else calibration
    shapes = [fixed_shape(tensor, shown) for tensor in source.inputs]
    fixed = [replace(tensor, shape=shape) for tensor, shape in zip(source.inputs, shapes, strict=True)]

    export_path = work / "export"
    if not resume:
        events.progress("export", 12, "exporting with a batch of 1")
        export(source, shapes, export_path)
        samples = evaluation if evaluation is not None else generate_samples(fixed)
        reference = _run_original(source, samples, lambda share, text: events.progress("reference", 18 + 12 * share, text))
        samples_path, reference_path = work / "samples.npz", work / "reference.npz"
        _write(samples_path, samples, {} if labels is None else {"y": labels})
        _write(reference_path, reference)
        events.emit(
            "exported",
            exportPath=str(export_path),
            samplesPath=str(samples_path),
            referencePath=str(reference_path),
            data="generated" if evaluation is None else "uploaded",
        )

    variants = request["variants"]
    calibrated = [variant for variant in variants if variant in CALIBRATED]
    if calibration is None and calibrated:
        calibration = generate_samples(fixed)
        if not resume:
            events.warn(
                f"{' and '.join(calibrated)} calibrated on generated data, which seldom fits a real model: "
                "send calibration data, apart from the evaluation data."
            )
    by_signature = {tensor.signature_name: calibration[tensor.name] for tensor in source.inputs} if calibration else {}
    for index, variant in enumerate(variants):
        _convert_one(variant, index, len(variants), export_path, by_signature, work, events)


def _load(path, source_format, work):
    return load_saved_model(path, work) if source_format == "savedmodel" else load_keras(path, source_format, work)


def _write(path, tensors, more={}):
    """An .npz whose tensors cannot be taken for what else is in it."""
    import numpy as np

    np.savez(path, **{f"x:{name}": array for name, array in tensors.items()}, **more)


def _run_original(source, samples, progress):
    """Every output of the original for every sample: {output name: array [samples, ...]}."""
    import numpy as np
    import tensorflow as tf

    arrays = [samples[tensor.name] for tensor in source.inputs]
    count = len(arrays[0])
    fixed_batch = any(tensor.shape[0] == 1 for tensor in source.inputs)
    step = 1 if fixed_batch else REFERENCE_BATCH
    collected = [[] for _ in source.outputs]
    for start in range(0, count, step):
        progress(start / count, f"original on sample {start + 1} of {count}")
        answers = source.call([tf.constant(array[start : start + step]) for array in arrays])
        for parts, answer in zip(collected, answers, strict=True):
            parts.append(np.asarray(answer))
    return {tensor.name: np.concatenate(parts) for tensor, parts in zip(source.outputs, collected, strict=True)}


def _convert_one(variant, index, count, export_path, calibration, work, events):
    def progress(share, text):
        events.progress(f"convert {variant}", 30 + 70 * (index + share) / count, text)

    events.emit("converting", variant=variant)
    progress(0, f"converting {variant}")
    started = time.monotonic()

    def on_sample(sample, total):
        if sample % 10 == 0:
            progress(0.3 + 0.5 * sample / total, f"{variant}: calibrating on sample {sample + 1} of {total}")

    path = work / f"{variant}.tflite"
    try:
        content, options = convert_variant(variant, export_path, calibration, on_sample)
        path.write_bytes(content)
    except Exception as error:  # the other variants may well work
        events.emit("variant", variant=variant, error=f"{type(error).__name__}: {last_words(error)}")
        return
    milliseconds = round((time.monotonic() - started) * 1000)
    events.emit("variant", variant=variant, path=str(path), options=options, milliseconds=milliseconds)
