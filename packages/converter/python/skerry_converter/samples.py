"""Data to calibrate with and to compare on: uploaded .npz files checked against the model, or generated."""

import zipfile

import numpy as np

from skerry_converter.protocol import ConversionFailure

GENERATED_SAMPLES = 16
SEED = 20240229


def read_samples(path, inputs, what):
    """Returns ({input name: array [samples, ...]}, labels or None)."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise ConversionFailure("invalid-data", f"The {what} data is a single array and not an .npz file.")
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ConversionFailure("invalid-data", f"The {what} data is not a readable .npz file: {error}") from error

    names = [tensor.name for tensor in inputs]
    labels = None if "y" in names else arrays.pop("y", None)
    if set(arrays) != set(names):
        raise ConversionFailure(
            "input-mismatch",
            f"The {what} data has arrays {sorted(arrays)}; the model's inputs are {sorted(names)}.",
        )
    checked = {tensor.name: _fit(arrays[tensor.name], tensor, what) for tensor in inputs}
    counts = {len(array) for array in checked.values()} | ({len(labels)} if labels is not None and labels.ndim else set())
    if len(counts) != 1 or counts == {0}:
        raise ConversionFailure("input-mismatch", f"The {what} data has arrays of {sorted(counts)} samples.")
    return checked, labels


def _fit(array, tensor, what):
    expected = tensor.shape[1:]
    actual = list(array.shape[1:])
    fits = array.ndim == len(tensor.shape) and all(e in (-1, a) for e, a in zip(expected, actual, strict=True))
    if not fits:
        raise ConversionFailure(
            "input-mismatch",
            f"The {what} data for input {tensor.name} has shape {list(array.shape)}; "
            f"[samples, {', '.join(map(str, expected))}] is needed.",
        )
    # float64 is what numpy makes unless told otherwise; every other difference of types may lose something.
    if str(array.dtype) != tensor.dtype and not (array.dtype.kind == "f" and tensor.dtype.startswith("float")):
        raise ConversionFailure(
            "input-mismatch",
            f"The {what} data for input {tensor.name} is {array.dtype}; the model takes {tensor.dtype}.",
        )
    array = array.astype(tensor.dtype, copy=False)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ConversionFailure("input-mismatch", f"The {what} data for input {tensor.name} has NaN or infinite values.")
    return array


def generate_samples(inputs):
    """Zeros, ones, minus ones, and seeded noise in -1..1 (0 and 1 for integers): finds what is broken, proves nothing."""
    random = np.random.default_rng(SEED)
    generated = {}
    for tensor in inputs:
        shape = [GENERATED_SAMPLES, *tensor.shape[1:]]
        if tensor.dtype.startswith("float"):
            array = random.uniform(-1, 1, shape)
            array[0], array[1], array[2] = 0, 1, -1
        else:
            array = random.integers(0, 2, shape)
            array[0], array[1] = 0, 1
        generated[tensor.name] = array.astype(tensor.dtype)
    return generated
