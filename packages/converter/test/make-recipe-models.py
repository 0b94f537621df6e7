"""Writes small models of kinds that the converter's ways treat differently. Argument: an empty folder."""

import os
import sys
import tarfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras
import numpy as np
import tensorflow as tf

out = Path(sys.argv[1])
keras.utils.set_random_seed(5)
random = np.random.default_rng(5)


def save_archive(module, name):
    tf.saved_model.save(module, str(out / name), signatures=module.__call__)
    with tarfile.open(out / f"{name}.tar.gz", "w:gz") as archive:
        archive.add(out / name, name)


steps = keras.Input((6, 4), name="steps")
keras.Model(steps, keras.layers.Dense(3, name="scores")(keras.layers.GRU(8)(steps))).save(out / "gru.keras")

# Whole numbers in: which rows of a table.
words = keras.Input((5,), dtype="int32", name="words")
embedded = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(20, 8)(words))
keras.Model(words, keras.layers.Dense(3, activation="softmax", name="topic")(embedded)).save(out / "words.keras")
np.savez(out / "words-evaluation.npz", words=random.integers(0, 20, (70, 5)).astype(np.int32))


# More weights than litert-quantizer keeps within the FlatBuffer.
square = keras.Input((8, 8, 4), name="picture")
flat = keras.layers.Flatten()(keras.layers.Conv2D(64, 3, activation="relu")(square))
wide = keras.layers.Dense(3, name="right")(keras.layers.Dense(160, activation="relu")(flat))
keras.Model(square, wide).save(out / "wide.keras")


class Determinant(tf.Module):
    """TFLite has no operator of its own for one of its outputs."""

    def __init__(self):
        self.weight = tf.Variable(random.normal(0, 1, (4, 4)), dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def __call__(self, x):
        square = tf.reshape(x @ self.weight, [-1, 2, 2])
        return {"determinant": tf.linalg.det(square), "twice": x * 2}


class Texts(tf.Module):
    def __init__(self):
        self.weight = tf.Variable(random.normal(0, 1, (16, 3)), dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.string, name="texts")])
    def __call__(self, texts):
        places = tf.strings.to_hash_bucket_fast(texts, 16)
        return {"scores": tf.reduce_sum(tf.gather(self.weight, places), axis=1)}


save_archive(Determinant(), "determinant")
save_archive(Texts(), "texts")
