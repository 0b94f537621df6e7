"""Reads .keras and .h5 files, without running code that they carry."""

import json
import re
from contextlib import contextmanager

from skerry_converter.archive import unpack
from skerry_converter.hdf5 import check_hdf5
from skerry_converter.keras_config import MAXIMUM_CONFIG_BYTES, refuse_code
from skerry_converter.keras_legacy import modernize
from skerry_converter.protocol import ConversionFailure, last_words, limit_of
from skerry_converter.source import Source, name_tensors

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def load_keras(path, unpacked):
    """A .keras archive of Keras 3, or of Keras 2.12 and later; unpacked into the new folder `unpacked`."""
    import h5py
    import keras

    unpack(path, unpacked)
    missing = [name for name in (_CONFIG, _METADATA, _WEIGHTS) if not (unpacked / name).is_file()]
    if missing:
        raise ConversionFailure("not-a-model", f"The .keras archive has no {' and no '.join(missing)}.")
    weights = unpacked / _WEIGHTS
    with reading():
        config = _parse((unpacked / _CONFIG).read_bytes())
        config.pop("compile_config", None)
        modernize(config)
        refuse_code(config, known_classes())
        (unpacked / _CONFIG).write_text(json.dumps(config))
        with h5py.File(weights, "r") as file:
            check_hdf5(file, weights.stat().st_size)
        return keras_source(keras.models.load_model(unpacked, compile=False, safe_mode=True))


def load_h5(path):
    """An .h5 file of Keras 2 or 3."""
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import load_weights_from_hdf5_group

    with reading(), h5py.File(path, "r") as file:
        check_hdf5(file, path.stat().st_size)
        config = file.attrs.get("model_config")
        if config is None or "model_weights" not in file:
            raise ConversionFailure(
                "not-a-model", "The .h5 file holds weights without their model: save the whole model (model.save)."
            )
        model = build(_parse(config))
        load_weights_from_hdf5_group(file["model_weights"], model)
        return keras_source(model)


def build(config):
    """The model of a configuration of Keras 2, or of Keras 3 as it stands in .h5 files; with weights of its own making.

    @raises ConversionFailure `unsafe-model`
    """
    from keras.src.legacy.saving import saving_options
    from keras.src.legacy.saving.saving_utils import model_from_config
    from keras.src.saving import serialization_lib

    modernize(config)
    refuse_code(config, known_classes())
    with saving_options.keras_option_scope(use_legacy_config=True), serialization_lib.SafeModeScope(True):
        return model_from_config(config)


def known_classes():
    """Classes that a configuration names without their modules."""
    import keras

    parts = (keras.layers, keras.initializers, keras.regularizers, keras.constraints, keras.models, keras.dtype_policies)
    own = {name for part in parts for name, value in vars(part).items() if isinstance(value, type)}
    # As Keras 2 called them.
    return own | {"Functional", "Policy"}


@contextmanager
def reading():
    """Whatever Keras and HDF5 raise in here says that the file is no model."""
    try:
        yield
    except ConversionFailure:
        raise
    except Exception as error:
        if limit_of(error):
            raise
        words = _words(error)
        if re.search(r"safe[_ ]mode|unsafe|deserializ\w+ of (a Python )?lambda", words, re.IGNORECASE):
            raise ConversionFailure(
                "unsafe-model", "The model holds Python code (such as a Lambda layer), which is not run.", words
            ) from error
        raise ConversionFailure("not-a-model", f"Keras cannot read the file: {words}") from error


def _words(error):
    # Keras puts the whole configuration before what is wrong with it.
    return last_words(error).rpartition("Exception encountered: ")[2]


def keras_source(model):
    import keras

    try:
        ins, outs = model.inputs, model.outputs
    except (AttributeError, ValueError):
        ins = outs = None
    if not ins or not outs:
        raise ConversionFailure(
            "converter-failed", "The model's inputs are not known: it is neither functional nor sequential."
        )
    # The layers' names: they are saved with the model, while tensors are named anew at each load.
    inputs = name_tensors(((t._keras_history.operation.name, t.shape, t.dtype) for t in ins), "input")
    outputs = name_tensors(((t._keras_history.operation.name, t.shape, t.dtype) for t in outs), "output")
    structure = getattr(model, "_inputs_struct", None)

    def call(values):
        packed = values[0] if structure is None else keras.tree.pack_sequence_as(structure, values)
        return keras.tree.flatten(model(packed, training=False))

    return Source("keras", keras.__version__, inputs, outputs, call, model)


def _parse(text):
    if len(text) > MAXIMUM_CONFIG_BYTES:
        raise ConversionFailure("not-a-model", f"The model's configuration has {len(text)} bytes.")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConversionFailure("not-a-model", f"The model's configuration is not JSON: {last_words(error)}") from error
    if not isinstance(config, dict):
        raise ConversionFailure("not-a-model", "The model's configuration is not an object.")
    return config
