"""Reads .keras and .h5 files, without running code that they carry."""

import re

from skerry_converter.protocol import ConversionFailure, last_words
from skerry_converter.source import Source, name_tensors


def load_keras(path, source_format, work):
    import keras

    # Keras tells the formats apart by the file's name alone, and the source may be a blob without one.
    named = work / f"source.{source_format}"
    if not named.exists():
        named.symlink_to(path)
    try:
        model = keras.models.load_model(named, compile=False, safe_mode=True)
    except Exception as error:
        words = last_words(error)
        if re.search(r"safe[_ ]mode|unsafe|deserializ\w+ of lambda", words, re.IGNORECASE):
            raise ConversionFailure(
                "unsafe-model", "The model holds Python code (such as a Lambda layer), which is not run.", words
            ) from error
        raise ConversionFailure("not-a-model", f"Keras cannot read the file: {words}") from error
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
