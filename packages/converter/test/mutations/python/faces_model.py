"""The worked example's model (python/example_model.py), as one of the mutation table."""

from functools import cached_property

import keras
import numpy as np
from pictures_data import faces, resize
from task import Task


class Faces(Task):
    """The worked example's model, and more held-out pictures: each of the 80 as it is, mirrored, shifted, and both."""

    about = "whether a 224x224 picture is a face: the worked example's MobileNetV2"
    side = 224

    def __init__(self, folder):
        self.folder = folder
        pictures, labels = faces(1, 120)
        shifted = np.pad(pictures, ((0, 0), (0, 0), (1, 0)), mode="edge")[:, :, :-1]
        variations = [pictures, pictures[:, :, ::-1], shifted, shifted[:, :, ::-1]]
        self.raw = {
            "evaluation": (pictures, labels),
            "large": (np.concatenate(variations), np.tile(labels, len(variations))),
        }
        with np.load(folder / "evaluation.npz") as kept:
            assert np.array_equal(kept["y"], labels) and np.allclose(kept["image"], self.prepare(pictures), atol=1e-6)
        with np.load(folder / "calibration.npz") as kept:
            self.calibration = {"image": kept["image"]}

    def prepare(self, pictures, method="bilinear"):
        return np.repeat(resize(pictures[..., None], self.side, method) * 2 - 1, 3, axis=-1).astype(np.float32)

    @cached_property
    def keras(self):
        return keras.saving.load_model(self.folder / "model.keras", compile=False)

    def stale(self):
        """A head from another training: the last layer's weights turned by as much as they are long."""
        model = keras.saving.load_model(self.folder / "model.keras", compile=False)
        kernel, bias = model.layers[-1].get_weights()
        other = np.random.default_rng(2).normal(0, 1, kernel.shape).astype(np.float32)
        model.layers[-1].set_weights([kernel + other * np.linalg.norm(kernel) / np.linalg.norm(other), bias])
        return model

    def data(self, name):
        pictures, labels = self.raw[name]
        return {"image": self.prepare(pictures)}, {"y:face": labels}

    evaluation = property(lambda self: self.data("evaluation"))
    large = property(lambda self: self.data("large"))

    @property
    def input_faults(self):
        change = lambda how: lambda name: {"image": how(self.raw[name][0])}
        return {
            "kernel-nearest": change(lambda p: self.prepare(p, "nearest")),
            "kernel-lanczos": change(lambda p: self.prepare(p, "lanczos3")),
            "range-0-to-1": change(lambda p: (self.prepare(p) + 1) / 2),
        }
