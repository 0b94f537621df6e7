"""The original model, whatever it came as: named inputs and outputs, and a function from ones to the others."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from skerry_converter.protocol import ConversionFailure


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
    # Owns what `call` reads: variables, tables.
    trackable: Any
    # Only of a SavedModel: where it is, which signature this is, and the names of all.
    folder: Path | None = None
    signature: str | None = None
    signatures: list[str] | None = None

    def names(self):
        return {
            "inputs": {tensor.name: tensor.signature_name for tensor in self.inputs},
            "outputs": {tensor.name: tensor.signature_name for tensor in self.outputs},
        }


def name_tensors(described, kind):
    """Tensors from (name, shape, dtype), with names made unique and signature names that TensorFlow leaves alone."""
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
