"""The original model, whatever it came as: named inputs and outputs, and a function from ones to the others."""

import re
from dataclasses import dataclass
from typing import Any, Callable

from skerry_converter.archive import unpack_saved_model
from skerry_converter.protocol import ConversionFailure, last_words


@dataclass
class Tensor:
    name: str  # the original model's
    signature_name: str  # in the export, and so in every variant
    shape: list  # -1 for open dimensions
    dtype: str  # numpy's name

    def describe(self):
        return {"name": self.name, "dtype": self.dtype, "shape": self.shape}


@dataclass
class Source:
    engine: str
    version: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    # Takes and gives lists of tensors, in the order of inputs and outputs.
    call: Callable[[list], list]
    # Owns the variables that `call` reads.
    trackable: Any

    def names(self):
        return {
            "inputs": {tensor.name: tensor.signature_name for tensor in self.inputs},
            "outputs": {tensor.name: tensor.signature_name for tensor in self.outputs},
        }


def load_source(path, source_format, work):
    if source_format in ("keras", "h5"):
        return _load_keras(path, source_format, work)
    return _load_saved_model(path, work)


def _load_keras(path, source_format, work):
    import keras

    # Keras tells the formats apart by the file's name alone, and the source may be a blob without one.
    named = work / f"source.{source_format}"
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
    inputs = _tensors(((t._keras_history.operation.name, t.shape, t.dtype) for t in ins), "input")
    outputs = _tensors(((t._keras_history.operation.name, t.shape, t.dtype) for t in outs), "output")
    structure = getattr(model, "_inputs_struct", None)

    def call(values):
        packed = values[0] if structure is None else keras.tree.pack_sequence_as(structure, values)
        return keras.tree.flatten(model(packed, training=False))

    return Source("keras", keras.__version__, inputs, outputs, call, model)


def _load_saved_model(path, work):
    import tensorflow as tf

    folder = unpack_saved_model(path, work / "source")
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:
        raise ConversionFailure("not-a-model", f"TensorFlow cannot read the SavedModel: {last_words(error)}") from error
    key = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    if key not in loaded.signatures:
        if len(loaded.signatures) != 1:
            present = ", ".join(sorted(loaded.signatures)) or "none"
            raise ConversionFailure(
                "converter-failed", f"The SavedModel has no signature {key}; its signatures: {present}."
            )
        key = next(iter(loaded.signatures))
    signature = loaded.signatures[key]
    ins = signature.structured_input_signature[1]
    outs = signature.structured_outputs
    inputs = _tensors(((name, ins[name].shape, ins[name].dtype.name) for name in sorted(ins)), "input")
    outputs = _tensors(((name, outs[name].shape, outs[name].dtype.name) for name in sorted(outs)), "output")

    def call(values):
        answer = signature(**{tensor.name: value for tensor, value in zip(inputs, values, strict=True)})
        return [answer[tensor.name] for tensor in outputs]

    return Source("tensorflow", tf.__version__, inputs, outputs, call, loaded)


def _tensors(described, kind):
    tensors, used = [], set()
    for index, (name, shape, dtype) in enumerate(described):
        if shape is None or getattr(shape, "rank", 0) is None:
            raise ConversionFailure("converter-failed", f"The shape of {kind} {name} is not known.")
        unique, count = name, 0
        while unique in used:
            count += 1
            unique = f"{name}_{count}"
        used.add(unique)
        # TensorFlow rewrites names that are no identifiers; these it keeps.
        plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", unique) is not None
        safe = unique if plain and not re.fullmatch(rf"{kind}_tensor_\d+", unique) else f"{kind}_tensor_{index}"
        tensors.append(Tensor(unique, safe, [-1 if size is None else int(size) for size in shape], str(dtype)))
    return tensors
