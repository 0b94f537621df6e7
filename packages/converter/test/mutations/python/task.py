"""What every model of the table has: data that it was trained for, its answers, and an older training of it."""

from functools import cached_property

import numpy as np
from calibration_faults import KINDS
from convert import call


class Task:
    """measure: `accuracy` of y:OUTPUT (the judge sees the first output's), or `rmse` of target:OUTPUT."""

    measure = "accuracy"
    epochs, stale_epochs = 8, 1

    def answer(self, inputs):
        arrays = [inputs[tensor.name] for tensor in self.keras.inputs]
        answers = [call(self.keras, [array[at : at + 50] for array in arrays]) for at in range(0, len(arrays[0]), 50)]
        columns = zip(*answers, strict=True)
        return {name: np.concatenate(list(parts)) for name, parts in zip(self.outputs, columns, strict=True)}

    @cached_property
    def outputs(self):
        return list(self.keras.output_names)

    @cached_property
    def keras(self):
        return self.train(self.epochs)

    def stale(self):
        """The same model of an earlier day: trained less, and on other pictures."""
        return self.train(self.stale_epochs)

    @cached_property
    def calibration_faults(self):
        return {fault: make(self.calibration) for fault, make in KINDS.items()}

    @property
    def input_faults(self):
        return {}
