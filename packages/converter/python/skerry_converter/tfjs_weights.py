"""The weights of a TensorFlow.js model: groups of shards, one after the other, that hold tensors one after the other."""

import math
import struct

from skerry_converter.archive_limits import safe_path
from skerry_converter.protocol import ConversionFailure

_DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint8": "u1", "uint16": "<u2", "bool": "?", "complex64": "<c8"}
_QUANTIZED = {"uint8": "u1", "uint16": "<u2", "float16": "<f2"}
MAXIMUM_RANK = 32


def read_weights(folder, manifest):
    """{name: numpy array}, quantized ones expanded. `manifest`: weightsManifest of model.json.

    @raises ConversionFailure `not-a-model`, `unsafe-archive` for a shard outside of the folder
    """
    weights = {}
    for group in manifest or []:
        content = _Content(b"".join(_read_shard(folder, name) for name in group["paths"]))
        for entry in group["weights"]:
            name = entry["name"]
            if name in weights:
                raise ConversionFailure("not-a-model", f"The weight {name!r} comes twice.")
            weights[name] = _read_weight(entry, content)
        if content.left:
            raise ConversionFailure("not-a-model", f"The shards {group['paths']} hold {content.left} bytes too many.")
    return weights


class _Content:
    def __init__(self, content):
        self._content, self._at = content, 0

    @property
    def left(self):
        return len(self._content) - self._at

    def take(self, count, name):
        if count > self.left:
            raise ConversionFailure("not-a-model", f"The shards end before the weight {name!r}: bytes of them are missing.")
        self._at += count
        return memoryview(self._content)[self._at - count : self._at]


def _read_shard(folder, name):
    path = folder / safe_path(name)
    # A link in a folder of this machine may lead anywhere.
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConversionFailure("unsafe-archive", f"The shard {name!r} is a link that leaves the folder.")
    if not path.is_file():
        raise ConversionFailure("not-a-model", f"The shard {name!r} of the weights is missing.")
    return path.read_bytes()


def _read_weight(entry, content):
    import numpy as np

    name, shape, dtype = entry["name"], entry["shape"], entry["dtype"]
    if len(shape) > MAXIMUM_RANK or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ConversionFailure("not-a-model", f"The weight {name!r} has the shape {shape}.")
    count = math.prod(shape)
    if dtype == "string":
        return _read_texts(name, count, content).reshape(shape)
    quantization = entry.get("quantization")
    stored = _DTYPES.get(dtype) if quantization is None else _QUANTIZED.get(quantization["dtype"])
    if stored is None or dtype not in _DTYPES:
        raise ConversionFailure("not-a-model", f"The weight {name!r} is of a type that is not known: {entry}.")
    values = np.frombuffer(content.take(count * np.dtype(stored).itemsize, name), stored).reshape(shape)
    if quantization is None or quantization["dtype"] == "float16":
        return values.astype(np.dtype(_DTYPES[dtype]).newbyteorder("="))
    # https://github.com/tensorflow/tfjs, tfjs-core/src/io/io_utils.ts: in double precision, then to the weight's own.
    expanded = values * float(quantization["scale"]) + float(quantization["min"])
    return (np.floor(expanded + 0.5) if dtype == "int32" else expanded).astype(np.dtype(_DTYPES[dtype]).newbyteorder("="))


def _read_texts(name, count, content):
    import numpy as np

    texts = np.empty(count, object)
    if count * 4 > content.left:
        raise ConversionFailure("not-a-model", f"The shards end before the weight {name!r}: bytes of them are missing.")
    for index in range(count):
        (length,) = struct.unpack("<I", content.take(4, name))
        texts[index] = bytes(content.take(length, name))
    return texts
