"""Data to calibrate with and to compare on: uploaded .npz files and images checked against the model, or generated."""

import zipfile
import zlib

import numpy as np

from skerry_converter.protocol import ConversionFailure

GENERATED_SAMPLES = 16
SEED = 20240229
WORD_LENGTH = 6
MAXIMUM_NPZ_BYTES = 8 << 30


def read_samples(path, inputs, what, preprocessing=None, labels=None):
    """Returns ({input name: array [samples, ...]}, class numbers or None, encoded images or None).

    `path` is an .npz of arrays as the model takes them, with its classes as `y`; or a zip or folder of images, which
    become the model's input as `preprocessing` says (images.py), sorted by path, with their classes from a file of
    labels or their folders (image_labels.py). `labels` are the model's names of its classes. The encoded images have
    one entry per sample, None for those that are not kept (images.read_images).
    """
    from skerry_converter.image_set import is_image_set

    if is_image_set(path):
        return _read_image_set(path, inputs, what, preprocessing, labels)
    return *_read_npz(path, inputs, what), None


def _read_image_set(path, inputs, what, preprocessing, classes):
    # Pillow is loaded for those who send images.
    from skerry_converter.image_labels import read_labels
    from skerry_converter.image_set import open_image_set
    from skerry_converter.images import image_input, read_images

    if preprocessing is None:
        raise ConversionFailure(
            "invalid-data", f"The {what} data is images: a preprocessing has to say how they become the model's input."
        )
    target = image_input(preprocessing, inputs, what)
    with open_image_set(path, what) as (files, label_file):
        classes_of = read_labels([file.name for file in files], label_file, classes, what)
        samples, images = read_images([(file.name, file.size, file.read) for file in files], target, what)
    return {target.name: samples}, classes_of, images


def _read_npz(path, inputs, what):
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                declared = sum(info.file_size for info in archive.infolist())
            if declared > MAXIMUM_NPZ_BYTES:
                raise ConversionFailure(
                    "unsafe-archive", f"The {what} data unpacks to {declared} bytes; {MAXIMUM_NPZ_BYTES} are allowed."
                )
        with np.load(path, allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise ConversionFailure("invalid-data", f"The {what} data is a single array and not an .npz file.")
            arrays = {name: archive[name] for name in archive.files}
    # An array's header can ask for any amount of memory.
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, MemoryError) as error:
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
    if tensor.dtype == "string" and array.dtype.kind in "SU":
        return np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array
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
    """Zeros, ones, minus ones, and seeded noise in -1..1 (0 and 1 for integers): finds what is broken, proves nothing.

    Strings are empty, and words of lower-case letters.
    """
    random = np.random.default_rng(SEED)
    generated = {}
    for tensor in inputs:
        shape = [GENERATED_SAMPLES, *tensor.shape[1:]]
        if tensor.dtype == "string":
            letters = random.integers(ord("a"), ord("z") + 1, [*shape, WORD_LENGTH]).astype(np.uint8)
            array = np.frombuffer(letters.tobytes(), f"S{WORD_LENGTH}").reshape(shape).copy()
            array[0] = b""
            generated[tensor.name] = array
            continue
        if tensor.dtype.startswith("float"):
            array = random.uniform(-1, 1, shape)
            array[0], array[1], array[2] = 0, 1, -1
        else:
            array = random.integers(0, 2, shape)
            array[0], array[1] = 0, 1
        generated[tensor.name] = array.astype(tensor.dtype)
    return generated
