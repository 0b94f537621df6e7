"""Converts models by each way alone, and compares the file's answers with the original's, by signature name.

Arguments: a JSON array of {path, format, dynamic?, recipes?}, and an empty folder. Prints one JSON line for each way and recipe.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from skerry_converter.attempts import NoWay, check_weights, convert_by_ways  # noqa: E402
from skerry_converter.export import export, exported_weights, fixed_shape, open_batch  # noqa: E402
from skerry_converter.reference import fixed_tensors  # noqa: E402
from skerry_converter.samples import generate_samples  # noqa: E402
from skerry_converter.source_loader import load  # noqa: E402
from skerry_converter.tflite_file import TfliteFile  # noqa: E402
from skerry_converter.ways import AttemptFailure, ways_for  # noqa: E402

RECIPES = [
    {"name": "float32", "variant": "float32", "inputType": "float32", "perChannel": True},
    {"name": "full_int8", "variant": "full_int8", "inputType": "int8", "perChannel": True},
]
stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def say(**fields):
    stream.write(json.dumps(fields) + "\n")
    stream.flush()


def largest_error(content, source, samples):
    """Over all outputs, as a share of the range of the original's answers."""
    interpreter = tf.lite.Interpreter(model_content=content)
    runner = interpreter.get_signature_runner("serving_default")
    worst = 0.0
    expected = source.call([tf.constant(samples[tensor.name]) for tensor in source.inputs])
    for tensor, reference in zip(source.outputs, expected, strict=True):
        reference = np.asarray(reference)
        for row in range(len(reference)):
            given = {}
            for each in source.inputs:
                detail = runner.get_input_details()[each.signature_name]
                value = samples[each.name][row : row + 1]
                scale, zero_point = detail["quantization"]
                if scale:
                    value = np.clip(np.round(value / scale) + zero_point, -128, 127)
                given[each.signature_name] = value.astype(detail["dtype"])
            answer = runner(**given)[tensor.signature_name].astype(np.float64)
            scale, zero_point = runner.get_output_details()[tensor.signature_name]["quantization"]
            if scale:
                answer = (answer - zero_point) * scale
            if answer.shape[1:] != reference.shape[1:]:
                raise ValueError(f"{tensor.name}: {answer.shape}")
            worst = max(worst, float(np.max(np.abs(answer[0] - reference[row]))) / float(np.ptp(reference)))
    return worst


def check(model, work):
    work.mkdir(parents=True)
    path = Path(model["path"])
    source = load(path, model["format"], work)
    shapes = [fixed_shape(tensor, None) for tensor in source.inputs]
    samples = generate_samples(fixed_tensors(source, shapes))
    calibration = {tensor.signature_name: samples[tensor.name] for tensor in source.inputs}
    export_path = work / "export"
    is_open = model.get("dynamic", False)
    if is_open:
        shapes = [open_batch(tensor, shape) for tensor, shape in zip(source.inputs, shapes, strict=True)]
    export(source, shapes, export_path)
    weights = exported_weights(export_path)
    by_name = {tensor.signature_name: shape for tensor, shape in zip(source.inputs, shapes, strict=True)}
    wanted = model.get("recipes", ["float32"])
    for recipe in [recipe for recipe in RECIPES if recipe["name"] in wanted]:
        recipe = {**recipe, "batch": "dynamic" if is_open else "fixed"}
        for way in ways_for(source, shapes, export_path, is_open):
            if way.select_tf_ops:
                continue
            said = {"model": path.stem.removesuffix(".tar"), "way": way.name, "recipe": recipe["name"]}
            try:
                content, _ = convert_by_ways(
                    [way], recipe, calibration, by_name, weights, lambda *_: None, lambda *_: None
                )
                file = TfliteFile(content)
                tensors = {tensor.index: tensor for tensor in [*file.inputs, *file.outputs]}
                names = [
                    {name: [tensors[index].shape, tensors[index].open] for name, index in side.items()}
                    for side in file.signature()
                ]
                say(**said, error=largest_error(content, source, samples), inputs=names[0], outputs=names[1])
            except (NoWay, ValueError) as failure:
                say(**said, failure=str(failure)[:300])


def lose_weights(path, source_format, work):
    """The documented call that writes a file without weights, with no error."""
    work.mkdir(parents=True)
    source = load(Path(path), source_format, work)
    shapes = [fixed_shape(tensor, None) for tensor in source.inputs]
    export(source, shapes, work / "export")
    spec = [tf.TensorSpec(shape, tensor.dtype) for shape, tensor in zip(shapes, source.inputs, strict=True)]
    function = tf.function(lambda *values: source.call(list(values))).get_concrete_function(*spec)
    content = tf.lite.TFLiteConverter.from_concrete_functions([function], source.trackable).convert()
    file = TfliteFile(content)
    try:
        check_weights(file, exported_weights(work / "export"))
        say(lost=False)
    except AttemptFailure as failure:
        say(lost=True, why=str(failure), held=file.weight_elements(), unset=file.reads_unset_variables())


models, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
for number, model in enumerate(models):
    if model.get("loseWeights"):
        lose_weights(model["path"], model["format"], folder / str(number))
    else:
        check(model, folder / str(number))
