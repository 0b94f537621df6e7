"""One conversion, from the source file to the variants and to what they are compared with.

Request: {id, sourcePath, format: keras|h5|savedmodel, variants, calibrationPath?, evaluationPath?, workDir}.
Events, beside those of protocol.py:
  described  {inputs, outputs, names, reference, converter}
  exported   {exportPath, samplesPath, referencePath, data: uploaded|generated, samples, batchShapes}
  variant    {variant, path, options, milliseconds} or {variant, error}
"""

import time
from pathlib import Path

from skerry_converter.export import export, fixed_shape
from skerry_converter.protocol import last_words
from skerry_converter.samples import generate_samples, read_samples
from skerry_converter.source import load_source
from skerry_converter.variants import CALIBRATED, convert_variant

REFERENCE_BATCH = 16


def convert(request, events):
    work = Path(request["workDir"])
    events.progress("start", 0, "loading TensorFlow")
    import numpy as np
    import tensorflow as tf

    events.progress("load", 8, "reading the model")
    source = load_source(Path(request["sourcePath"]), request["format"], work)
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

    events.progress("export", 12, "exporting with a batch of 1")
    shown = evaluation if evaluation is not None else calibration
    shapes = [fixed_shape(tensor, shown) for tensor in source.inputs]
    fixed = [type(tensor)(tensor.name, "", shape, tensor.dtype) for tensor, shape in zip(source.inputs, shapes)]
    export_path = work / "export"
    export(source, shapes, export_path)

    samples = evaluation if evaluation is not None else generate_samples(fixed)
    reference = _run_original(source, samples, lambda share, text: events.progress("reference", 16 + 8 * share, text))
    samples_path, reference_path = work / "samples.npz", work / "reference.npz"
    np.savez(samples_path, **{f"x:{name}": array for name, array in samples.items()}, **({} if labels is None else {"y": labels}))
    np.savez(reference_path, **{f"x:{name}": array for name, array in reference.items()})
    events.emit(
        "exported",
        exportPath=str(export_path),
        samplesPath=str(samples_path),
        referencePath=str(reference_path),
        data="generated" if evaluation is None else "uploaded",
        samples=len(next(iter(samples.values()))),
    )

    variants = request["variants"]
    calibrated = [variant for variant in variants if variant in CALIBRATED]
    if calibration is None and calibrated:
        calibration = generate_samples(fixed)
        events.warn(
            f"{' and '.join(calibrated)} calibrated on generated data, which seldom fits a real model: "
            "send calibration data, apart from the evaluation data."
        )
    by_signature = {tensor.signature_name: calibration[tensor.name] for tensor in source.inputs} if calibration else {}
    for index, variant in enumerate(variants):
        _convert_one(variant, index, len(variants), export_path, by_signature, work, events)


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
        events.progress(f"convert {variant}", 24 + 76 * (index + share) / count, text)

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
