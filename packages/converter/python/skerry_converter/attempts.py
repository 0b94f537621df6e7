"""Asks TensorFlow's converter for a variant in one way after the other (ways.py), until one gives a whole file.

Whatever the way, the file has the export's signature and its weights; one whose way cannot tell which tensor is what has
failed. select-tf-ops is tried only where built-in operators were missing.
"""

import re
import time

from skerry_converter.export import SIGNATURE
from skerry_converter.protocol import last_words
from skerry_converter.tflite_file import TfliteFile, close_shapes, with_signature
from skerry_converter.variants import CALIBRATED, configure
from skerry_converter.ways import AttemptFailure

MISSING_OPERATORS = re.compile(r"ERROR_NEEDS_(FLEX|CUSTOM)_OPS|Select TF ops|neither a custom op nor a flex op")
# What the variant asks of the model's operators fails in every way alike.
VARIANT_IMPOSSIBLE = re.compile(
    r"[Qq]uantization (is )?not (yet )?supported|not quantizable|Max and min for dynamic tensors"
)
PROCESS_ENDED = "The converter's process ended."
# Of the weights; folding takes some, losing them takes all.
LEAST_WEIGHTS = 0.1


class NoWay(Exception):
    """No way gave the variant; each has said why."""


def convert_by_ways(ways, recipe, calibration, shapes, weights, on_attempt, on_sample):
    """(file, options) of the first way that works. `calibration` maps names of the export to arrays.

    on_attempt(way, outcome, milliseconds, error) is told of each way, and before as of one that failed: the process may
    end in it, and then that is what remains.
    """
    errors = []
    operators_missing = False
    for way in ways:
        if way.select_tf_ops and not operators_missing:
            continue
        on_attempt(way.name, "failed", 0, PROCESS_ENDED)
        started = time.monotonic()
        try:
            content, options = _convert(way, recipe, calibration, on_sample)
            content = _complete(content, way, recipe, shapes, weights)
        except Exception as error:  # the next way may well work
            words = words_of(error)
            errors.append(words)
            # In the whole text: its end alone, which is shown, may not say it.
            operators_missing = operators_missing or MISSING_OPERATORS.search(str(error)) is not None
            on_attempt(way.name, "failed", _since(started), words)
            if VARIANT_IMPOSSIBLE.search(words):
                break
            continue
        on_attempt(way.name, "converted", _since(started), None)
        return content, {**options, "way": way.name}
    raise NoWay("\n\n".join(errors))


def words_of(error):
    """A line that says what is wrong, then the end of the converter's own words where those are longer."""
    if isinstance(error, AttemptFailure):
        return str(error)
    text = str(error)
    operators = sorted(set(re.findall(r"^(?:TF Select|Custom) ops: (.+)$", text, re.MULTILINE)))
    blamed = re.search(r"'tf\.\w+' op [^\n]+|failed to legalize operation '[^']+'", text)
    if operators:
        first = f"TFLite has no operator of its own for {', '.join(operators)}."
    elif blamed:
        first = f"{blamed[0].strip()}"
    else:
        return f"{type(error).__name__}: {last_words(error)}"
    return f"{first}\n{last_words(error)}"


def _since(started):
    return round((time.monotonic() - started) * 1000)


def _convert(way, recipe, calibration, on_sample):
    order = None
    if way.key is None and recipe["variant"] in CALIBRATED:
        # Without a signature samples go by position, which only a finished file tells.
        file = TfliteFile(way.start().convert())
        by_index = {index: name for name, index in way.bind(file)[0].items()}
        order = [by_index[tensor.index] for tensor in file.inputs]

    def representative():
        count = len(next(iter(calibration.values())))
        for index in range(count):
            on_sample(index, count)
            sample = {name: array[index : index + 1] for name, array in calibration.items()}
            if order is not None:
                yield [sample[name] for name in order]
            else:
                yield way.key, {(way.names or {}).get(name, name): array for name, array in sample.items()}

    converter = way.start()
    options = configure(converter, recipe, representative, way.select_tf_ops)
    if recipe["variant"] in CALIBRATED:
        options["calibrationSamples"] = len(next(iter(calibration.values())))
    return converter.convert(), options


def _complete(content, way, recipe, shapes, weights):
    """The file with its signature, checked. `shapes`: (inputs, None for open dimensions, by the export's names)."""
    file = TfliteFile(content)
    inputs, outputs = way.bind(file)
    if file.signature() != (inputs, outputs):
        content = with_signature(content, SIGNATURE, inputs, outputs)
    tensors = {tensor.index: tensor for tensor in file.inputs}
    for name, index in inputs.items():
        actual, wanted = tensors[index].shape, [1 if size is None else size for size in shapes[name]]
        if actual != wanted:
            raise AttemptFailure(f"Input {name} came out with the shape {actual}; {wanted} is needed.")
    if recipe["batch"] == "fixed" and any(tensor.open for tensor in [*file.inputs, *file.outputs]):
        content = close_shapes(content)
    check_weights(file, weights)
    return content


def check_weights(file, weights):
    """The converter can write a file without its weights, with no error."""
    if file.reads_unset_variables():
        raise AttemptFailure("The weights are lost: the file reads variables that nothing in it gives a value.")
    held = file.weight_elements()
    if held < LEAST_WEIGHTS * weights:
        raise AttemptFailure(f"The weights are lost: the file holds {held} numbers; the model has {weights} weights.")
