"""Reads TensorFlow.js models: a layers model or a graph model, which is model.json and the shards of its weights."""

import json

from skerry_converter.archive import find_in, is_archive, unpack
from skerry_converter.protocol import ConversionFailure, last_words, limit_of
from skerry_converter.tfjs_graph import graph_source
from skerry_converter.tfjs_layers import layers_source
from skerry_converter.tfjs_weights import read_weights

_FILE = "model.json"
MAXIMUM_MODEL_BYTES = 256 << 20


def load_tfjs(path, unpacked):
    """`path`: an archive, which is unpacked into the new folder `unpacked`; a folder; or a model.json in its folder."""
    model_path = _find(path, unpacked)
    try:
        model = _read(model_path)
        topology = model.get("modelTopology")
        if not isinstance(topology, dict):
            raise ConversionFailure("not-a-model", f"{_FILE} has no modelTopology.")
        read = lambda: read_weights(model_path.parent, model.get("weightsManifest"))
        return graph_source(model, read) if "node" in topology else layers_source(topology, read)
    except ConversionFailure:
        raise
    except Exception as error:
        if limit_of(error):
            raise
        raise ConversionFailure("not-a-model", f"The TensorFlow.js model cannot be read: {last_words(error)}") from error


def _find(path, unpacked):
    if not path.is_dir() and not is_archive(path):
        return path
    folder = path
    if not path.is_dir():
        unpack(path, unpacked)
        folder = unpacked
    found = find_in(folder, _FILE)
    if found is None:
        raise ConversionFailure("not-a-model", f"There is no {_FILE} in it.")
    return found / _FILE


def _read(path):
    size = path.stat().st_size
    if size > MAXIMUM_MODEL_BYTES:
        raise ConversionFailure("not-a-model", f"{_FILE} has {size} bytes; {MAXIMUM_MODEL_BYTES} are allowed.")
    try:
        model = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ConversionFailure("not-a-model", f"{_FILE} is not JSON: {last_words(error)}") from error
    if not isinstance(model, dict):
        raise ConversionFailure("not-a-model", f"{_FILE} is not an object.")
    return model
