"""The models of the mutation table: trained on real pictures, and each held to the task it was trained for."""

import keras
import numpy as np
from faces_model import Faces
from keras import layers
from pictures_data import crops, resize
from task import Task

PHOTOGRAPHS = (
    ["brick.png", "grass.png", "gravel.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png"]
    + ["motorcycle_left.png", "retina.jpg", "chelsea.png", "rocket.jpg"]
)
SIDE = 32
EVALUATION, LARGE, CALIBRATION = 128, 2000, 100


def small_network(inputs, channels=24):
    """MobileNet's parts: batch normalization, ReLU6, depthwise convolutions."""
    x = inputs
    for index, stride in enumerate([2, 1, 2, 1]):
        if index > 0:
            x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)
            x = layers.ReLU(6)(layers.BatchNormalization(momentum=0.9)(x))
        kernel, step = (3, stride) if index == 0 else (1, 1)
        x = layers.Conv2D(channels * (1 + index // 2), kernel, step, padding="same")(x)
        x = layers.ReLU(6)(layers.BatchNormalization(momentum=0.9)(x))
    return layers.GlobalAveragePooling2D()(x)


class Photographs(Task):
    about = "which of ten photographs a 32x32 colour crop is from"

    def __init__(self):
        self.raw = {
            "evaluation": crops(PHOTOGRAPHS, EVALUATION, 2, held_out=True),
            "large": crops(PHOTOGRAPHS, LARGE, 3, held_out=True),
        }
        self.calibration = {"picture": self.prepare(crops(PHOTOGRAPHS, CALIBRATION, 4, held_out=False)[0])}

    def prepare(self, pictures, method="bilinear"):
        return resize(pictures, SIDE, method) * 2 - 1

    def train(self, epochs):
        pictures, labels = crops(PHOTOGRAPHS, 4000, 10 + epochs, held_out=False)
        image = keras.Input((SIDE, SIDE, 3), name="picture")
        out = layers.Dense(len(PHOTOGRAPHS), activation="softmax", name="photograph")(small_network(image))
        model = keras.Model(image, out)
        model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(self.prepare(pictures), labels, epochs=epochs, batch_size=50, verbose=2)
        return model

    def data(self, name):
        pictures, labels = self.raw[name]
        return {"picture": self.prepare(pictures)}, {"y:photograph": labels}

    evaluation = property(lambda self: self.data("evaluation"))
    large = property(lambda self: self.data("large"))

    @property
    def input_faults(self):
        change = lambda how: lambda name: {"picture": how(self.raw[name][0])}
        return {
            "kernel-nearest": change(lambda p: self.prepare(p, "nearest")),
            "kernel-lanczos": change(lambda p: self.prepare(p, "lanczos3")),
            "range-0-to-1": change(lambda p: (self.prepare(p) + 1) / 2),
            "range-0-to-255": change(lambda p: (self.prepare(p) + 1) * 127.5),
            "colors-swapped": change(lambda p: self.prepare(p)[..., ::-1]),
            "layout-transposed": change(lambda p: self.prepare(p).transpose(0, 3, 1, 2).reshape(-1, SIDE, SIDE, 3)),
            "picture-turned": change(lambda p: self.prepare(p).transpose(0, 2, 1, 3)),
        }


class Pair(Task):
    """The converter sorts its inputs and may turn its outputs about: only their names tell them apart."""

    about = "which of four photographs each of two crops is from; two inputs and two outputs of equal shapes"
    names = PHOTOGRAPHS[:2] + PHOTOGRAPHS[6:8]
    epochs = 6

    def __init__(self):
        self.raw = {"evaluation": self.draw(EVALUATION, 20, True), "large": self.draw(LARGE, 21, True)}
        self.calibration = self.draw(CALIBRATION, 22, False)[0]

    def draw(self, count, seed, held_out):
        inputs, labels = {}, {}
        for index, (name, output) in enumerate([("zeta", "second"), ("alpha", "first")]):
            pictures, labels[f"y:{output}"] = crops(self.names, count, 100 * seed + index, held_out)
            inputs[name] = resize(pictures, 24) * 2 - 1
        return inputs, labels

    def train(self, epochs):
        inputs, labels = self.draw(3000, 30 + epochs, False)
        zeta, alpha = keras.Input((24, 24, 3), name="zeta"), keras.Input((24, 24, 3), name="alpha")
        second = layers.Dense(4, name="second")(small_network(zeta, 16))
        first = layers.Dense(4, name="first")(small_network(alpha, 16))
        model = keras.Model([zeta, alpha], [second, first])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        losses = {name: loss for name in ("second", "first")}
        model.compile(keras.optimizers.Adam(0.005), losses, metrics={name: "accuracy" for name in losses})
        answers = [labels["y:second"], labels["y:first"]]
        model.fit(list(inputs.values()), answers, epochs=epochs, batch_size=50, verbose=2)
        return model

    evaluation = property(lambda self: self.raw["evaluation"])
    large = property(lambda self: self.raw["large"])


class Denoise(Task):
    about = "a 32x32 grey crop without the noise that was added to it"
    measure = "rmse"
    epochs = 6

    def __init__(self):
        self.raw = {"evaluation": self.draw(EVALUATION, 40, True), "large": self.draw(600, 41, True)}
        self.calibration = self.draw(CALIBRATION, 42, False)[0]

    def draw(self, count, seed, held_out):
        pictures = resize(crops(PHOTOGRAPHS, count, seed, held_out)[0], SIDE).mean(-1, keepdims=True) * 2 - 1
        noisy = pictures + np.random.default_rng(seed).normal(0, 0.3, pictures.shape)
        return {"noisy": np.clip(noisy, -1, 1).astype(np.float32)}, {"target:clean": pictures}

    def train(self, epochs):
        inputs, targets = self.draw(2000, 50 + epochs, False)
        noisy = keras.Input((SIDE, SIDE, 1), name="noisy")
        x = layers.Conv2D(16, 3, padding="same", activation="relu")(noisy)
        x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
        x = layers.Conv2D(1, 3, padding="same")(x)
        model = keras.Model(noisy, layers.Add(name="clean")([noisy, x]))
        model.compile(keras.optimizers.Adam(0.003), "mse")
        model.fit(inputs["noisy"], targets["target:clean"], epochs=epochs, batch_size=50, verbose=2)
        return model

    evaluation = property(lambda self: self.raw["evaluation"])
    large = property(lambda self: self.raw["large"])

    @property
    def input_faults(self):
        change = lambda how: lambda name: {"noisy": how(self.raw[name][0]["noisy"])}
        return {
            "range-0-to-1": change(lambda p: (p + 1) / 2),
            "picture-turned": change(lambda p: p.transpose(0, 2, 1, 3)),
        }


class NoiseStrength(Task):
    about = "how strong the noise in a 32x32 colour crop is: one number"
    measure = "rmse"
    epochs = 8

    def __init__(self):
        self.raw = {"evaluation": self.draw(EVALUATION, 60, True), "large": self.draw(LARGE, 61, True)}
        self.calibration = self.draw(CALIBRATION, 62, False)[0]

    def draw(self, count, seed, held_out):
        random = np.random.default_rng(seed)
        pictures = resize(crops(PHOTOGRAPHS, count, seed, held_out)[0], SIDE) * 2 - 1
        strength = random.uniform(0, 0.5, (count, 1, 1, 1))
        noisy = np.clip(pictures + strength * random.normal(0, 1, pictures.shape), -1, 1)
        return {"picture": noisy.astype(np.float32)}, {"target:strength": 10 * strength[:, :, 0, 0].astype(np.float32)}

    def train(self, epochs):
        inputs, targets = self.draw(4000, 70 + epochs, False)
        picture = keras.Input((SIDE, SIDE, 3), name="picture")
        model = keras.Model(picture, layers.Dense(1, name="strength")(small_network(picture)))
        model.compile(keras.optimizers.Adam(0.005), "mse")
        model.fit(inputs["picture"], targets["target:strength"], epochs=epochs, batch_size=50, verbose=2)
        return model

    evaluation = property(lambda self: self.raw["evaluation"])
    large = property(lambda self: self.raw["large"])

    @property
    def input_faults(self):
        change = lambda how: lambda name: {"picture": how(self.raw[name][0]["picture"])}
        return {
            "range-0-to-1": change(lambda p: (p + 1) / 2),
            "colors-swapped": change(lambda p: p[..., ::-1]),
            "kernel-blurred": change(lambda p: resize(resize(p, 24), SIDE)),
        }


MODELS = {
    "photographs": Photographs,
    "pair": Pair,
    "denoise": Denoise,
    "noise-strength": NoiseStrength,
    "faces-0.35": Faces,
    "faces-1.0": Faces,
}
