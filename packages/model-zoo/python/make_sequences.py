"""Makes a small trained model with layers that convolutional networks lack. Arguments: its name, an empty folder.

lstm, gru and transformer tell faces from others by rows, columns and patches of the pictures; text-numbers and
text-strings tell Python from prose by characters and by words.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
import tensorflow as tf
from face_head import check_accuracy
from keras import layers
from lines_of_text import lines
from pictures import FACES_TRAIN, faces

NAME, OUT = sys.argv[1], Path(sys.argv[2])
CALIBRATION = 100
CHARACTERS, WORDS = 72, 12
TEXT_TRAIN, TEXT_HELD_OUT = 1000, 160


def sigmoid(tensor, name):
    return layers.Dense(1, activation="sigmoid", name=name)(tensor)


def fit(model, x, y, epochs, rate=3e-3):
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
    model.fit(x, y, epochs=epochs, batch_size=20, verbose=0)


def keep(model, calibration, evaluation, labels):
    """The model has one input, which the arrays are for."""
    input_name = model.input.name
    check_accuracy(NAME, model.predict(tf.constant(evaluation), verbose=0), labels)
    model.save(OUT / "model.keras")
    np.savez(OUT / "calibration.npz", **{input_name: calibration[:CALIBRATION]})
    np.savez(OUT / "evaluation.npz", **{input_name: evaluation}, y=np.float32(labels))


def pictures_as(arrange):
    """(training samples, their mirror images among them), (calibration, held-out), each with labels."""
    pictures, labels = faces()
    pictures = pictures * 2 - 1
    train, held_out = pictures[:FACES_TRAIN], pictures[FACES_TRAIN:]
    mirrored = np.concatenate([train, train[:, :, ::-1]])
    twice = np.tile(labels[:FACES_TRAIN], 2)
    return arrange(mirrored), twice, arrange(train), arrange(held_out), labels[FACES_TRAIN:]


def lstm():
    x, y, train, held_out, labels = pictures_as(lambda pictures: pictures)
    rows = keras.Input((25, 25), name="rows")
    model = keras.Model(rows, sigmoid(layers.LSTM(32)(rows), "face"))
    fit(model, x, y, 25)
    keep(model, train, held_out, labels)


def gru():
    x, y, train, held_out, labels = pictures_as(lambda pictures: np.swapaxes(pictures, 1, 2))
    columns = keras.Input((25, 25), name="columns")
    states = layers.GRU(24, return_sequences=True)(columns)
    model = keras.Model(columns, sigmoid(layers.GlobalMaxPooling1D()(states), "face"))
    fit(model, x, y, 25)
    keep(model, train, held_out, labels)


def patches(pictures):
    """25 patches of 25 values each, and where each patch is."""
    values = pictures.reshape(-1, 5, 5, 5, 5).transpose(0, 1, 3, 2, 4).reshape(-1, 25, 25)
    places = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)), -1).reshape(1, 25, 2)
    return np.concatenate([values, np.tile(places, (len(pictures), 1, 1))], -1).astype(np.float32)


def transformer():
    x, y, train, held_out, labels = pictures_as(patches)
    tokens = keras.Input((25, 27), name="patches")
    flow = layers.Dense(32)(tokens)
    attended = layers.MultiHeadAttention(num_heads=2, key_dim=16)(flow, flow)
    flow = layers.LayerNormalization()(layers.Add()([flow, attended]))
    widened = layers.Dense(32)(layers.Dense(64, activation="gelu")(flow))
    flow = layers.LayerNormalization()(layers.Add()([flow, widened]))
    model = keras.Model(tokens, sigmoid(layers.GlobalAveragePooling1D()(flow), "face"))
    fit(model, x, y, 30, 2e-3)
    keep(model, train, held_out, labels)


def text_numbers():
    def numbers(texts):
        return np.array([[ord(c) for c in text.ljust(CHARACTERS)[:CHARACTERS]] for text in texts], np.int32)

    train, y = lines("train", TEXT_TRAIN)
    held_out, labels = lines("held-out", TEXT_HELD_OUT)
    characters = keras.Input((CHARACTERS,), dtype="int32", name="characters")
    flow = layers.Conv1D(32, 5, activation="relu")(layers.Embedding(128, 16)(characters))
    model = keras.Model(characters, sigmoid(layers.GlobalMaxPooling1D()(flow), "python"))
    fit(model, numbers(train), np.float32(y), 4)
    keep(model, numbers(train), numbers(held_out), labels)


def text_strings():
    def words(texts):
        return np.array([(text.split() + [""] * WORDS)[:WORDS] for text in texts], "S16")

    train, y = lines("train", TEXT_TRAIN)
    held_out, labels = lines("held-out", TEXT_HELD_OUT)
    vocabulary = layers.StringLookup(max_tokens=2000, num_oov_indices=1, name="vocabulary")
    vocabulary.adapt(tf.constant(words(train)))
    strings = keras.Input((WORDS,), dtype="string", name="words")
    flow = layers.Embedding(vocabulary.vocabulary_size(), 16)(vocabulary(strings))
    model = keras.Model(strings, sigmoid(layers.GlobalAveragePooling1D()(flow), "python"))
    fit(model, tf.constant(words(train)), tf.constant(np.float32(y)), 10, 1e-2)
    keep(model, words(train), words(held_out), labels)


MAKERS = {
    "lstm": lstm,
    "gru": gru,
    "transformer": transformer,
    "text-numbers": text_numbers,
    "text-strings": text_strings,
}

keras.utils.set_random_seed(1)
tf.config.experimental.enable_op_determinism()
MAKERS[NAME]()
