"""Writes a small trained Keras classifier and data for it into the folder given: model.keras, calibration.npz, evaluation.npz."""

import sys
from pathlib import Path

import keras
import numpy as np

folder = Path(sys.argv[1])
keras.utils.set_random_seed(1)
rng = np.random.default_rng(1)
x = rng.normal(size=(200, 16)).astype("float32")
y = (x @ rng.normal(size=(16, 4))).argmax(1)

features = keras.Input((16,), name="features")
hidden = keras.layers.Dense(32, activation="relu")(features)
model = keras.Model(features, keras.layers.Dense(4, activation="softmax", name="scores")(hidden))
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, epochs=60, verbose=0)
model.save(folder / "model.keras")
np.savez(folder / "calibration.npz", features=x[:100])
np.savez(folder / "evaluation.npz", features=x[100:], y=y[100:])
