"""The requests that a converter process answers, and the conversion among them: from the source file to the variants
and to what they are compared with.

Request `convert`: {id, kind, sourcePath, sourceSha256, format, recipes, calibrationPath?, calibrationTake?, evaluationPath?,
preprocessing?, labels?, signature?, workDir, withReference?, resume?}; a recipe as Recipe in src/types.ts.
`calibrationTake: {from, to}` picks some of the calibration samples. `withReference: false`: only variants are wanted,
nothing that they are compared with. `resume` is true where an earlier process exported the model into the same workDir
and died in a variant: then neither `described` nor `exported` is emitted again.
Events, beside those of protocol.py:
  described   {inputs, outputs, names, reference, converter, signature?, signatures?, versions}
  exported    {exportPath, samplesPath, referencePath, data: uploaded|generated, probesPath?, probesReferencePath?,
              goldenImages?}; the paths of samples, reference and probes are absent without a reference
  converting  {variant}
  attempt     {variant, way, outcome: converted|failed, milliseconds, error?} (attempts.py); one of the same way replaces
              the one before, which said that the process ended in it
  variant     {variant, path, options, milliseconds} or {variant, error}; `variant` is the recipe's name
"""

from pathlib import Path

from skerry_converter import layers
from skerry_converter.export import export, fixed_shape
from skerry_converter.make_variant import VariantMaker
from skerry_converter.reference import fixed_tensors, write_evidence
from skerry_converter.samples import generate_samples, read_samples
from skerry_converter.source_loader import load
from skerry_converter.variants import CALIBRATED
from skerry_converter.versions import package_versions


def convert(request, events):
    work = Path(request["workDir"])
    resume = request.get("resume", False)
    recipes = request["recipes"]
    events.progress("start", 0, "loading TensorFlow")
    import tensorflow as tf

    events.progress("load", 8, "reading the model")
    source = load(Path(request["sourcePath"]), request["format"], work, request.get("signature"))
    versions = package_versions()
    if not resume:
        events.emit(
            "described",
            inputs=[tensor.describe() for tensor in source.inputs],
            outputs=[tensor.describe() for tensor in source.outputs],
            names=source.names(),
            reference={"name": source.engine, "version": source.version},
            converter={"name": "tf.lite.TFLiteConverter", "version": tf.__version__},
            versions=versions,
            **({} if source.signature is None else {"signature": source.signature}),
            **({} if source.signatures is None else {"signatures": source.signatures}),
        )

    def read(field, what):
        path = request.get(field)
        if not path:
            return None, None, None
        return read_samples(path, source.inputs, what, request.get("preprocessing"), request.get("labels"))

    evaluation, labels, images = read("evaluationPath", "evaluation")
    calibration, _, _ = read("calibrationPath", "calibration")
    take = request.get("calibrationTake")
    if take is not None and calibration is not None:
        calibration = {name: array[take["from"] : take["to"]] for name, array in calibration.items()}
    shown = evaluation if evaluation is not None else calibration
    shapes = [fixed_shape(tensor, shown) for tensor in source.inputs]

    export_path = work / "export"
    if not resume:
        events.progress("export", 12, "exporting with a batch of 1")
        export(source, shapes, export_path)
        paths = {}
        if request.get("withReference", True):
            paths = write_evidence(source, shapes, evaluation, labels, images, work, events)
        events.emit("exported", exportPath=str(export_path), **paths)

    calibrated = [recipe["name"] for recipe in recipes if recipe["variant"] in CALIBRATED]
    if calibration is None and calibrated:
        calibration = generate_samples(fixed_tensors(source, shapes))
        if not resume:
            events.warn(
                f"{' and '.join(calibrated)} calibrated on generated data, which seldom fits a real model: "
                "send calibration data, apart from the evaluation data."
            )
    maker = VariantMaker(
        source,
        shapes,
        export_path,
        {tensor.signature_name: calibration[tensor.name] for tensor in source.inputs} if calibration else {},
        {
            "source_sha256": request["sourceSha256"],
            "versions": {name: versions[name] for name in ("tensorflow", "litert-quantizer") if name in versions},
            "preprocessing": request.get("preprocessing"),
            "labels": request.get("labels"),
        },
        work,
        events,
    )
    for index, recipe in enumerate(recipes):
        maker.make(recipe, index, len(recipes))


HANDLERS = {"convert": convert, "layers": layers.layer_errors}
