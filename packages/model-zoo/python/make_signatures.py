"""Makes small models with signatures that are hard to keep. Arguments: a name, an empty folder.

two-in-two-out: inputs and outputs of equal shapes in an order that the converter changes. many-signatures: a SavedModel
with three, as .zip, .tar and .tar.gz. select-tf: one whose operators TFLite lacks. All know faces from others.
"""

import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
import tensorflow as tf
from archives import write_tar, write_zip
from face_head import check_accuracy, train_head
from pictures import FACES_TRAIN, faces

NAME, OUT = sys.argv[1], Path(sys.argv[2])
CALIBRATION = 100
PIXELS = 25 * 25


def write_data(calibration, evaluation, labels):
    np.savez(OUT / "calibration.npz", **{key: value[:CALIBRATION] for key, value in calibration.items()})
    np.savez(OUT / "evaluation.npz", **evaluation, y=labels)


def two_in_two_out(pictures, labels):
    """Whether the west picture, and whether the east picture, is a face. Both answers look at both pictures."""
    from keras import layers

    west, east = keras.Input((25, 25, 1), name="west"), keras.Input((25, 25, 1), name="east")

    def see(picture):
        x = layers.Conv2D(8, 5, strides=2, activation="relu")(picture)
        return layers.Dense(24, activation="relu")(layers.Flatten()(layers.MaxPooling2D()(x)))

    seen = layers.Concatenate()([see(west), see(east)])
    answers = [layers.Dense(2, activation="softmax", name=name)(seen) for name in ("west_is", "east_is")]
    model = keras.Model([west, east], answers)
    random = np.random.default_rng(1)
    first, second = (random.integers(0, FACES_TRAIN, 1200) for _ in range(2))
    model.compile(keras.optimizers.Adam(2e-3), ["sparse_categorical_crossentropy"] * 2)
    model.fit([pictures[first], pictures[second]], [labels[first], labels[second]], epochs=6, batch_size=30, verbose=0)
    held_out, held_out_labels = pictures[FACES_TRAIN:], labels[FACES_TRAIN:]
    other = random.permutation(len(held_out))
    west_answers, east_answers = model.predict([held_out, held_out[other]], verbose=0)
    check_accuracy("two-in-two-out, west", west_answers[:, 1], held_out_labels)
    check_accuracy("two-in-two-out, east", east_answers[:, 1], held_out_labels[other])
    model.save(OUT / "two-in-two-out.keras")
    calibration = {"west": pictures[first[:CALIBRATION]], "east": pictures[second[:CALIBRATION]]}
    evaluation = {"west": held_out, "east": held_out[other]}
    write_data(calibration, evaluation, np.int64(held_out_labels))


class Faces(tf.Module):
    """A logistic regression over random features of the pixels."""

    def __init__(self, pictures, labels):
        random = np.random.default_rng(1)
        self.mix = tf.Variable(random.normal(0, PIXELS**-0.5, (PIXELS, 200)).astype(np.float32))
        kernel, bias = train_head(self._features(tf.constant(pictures[:FACES_TRAIN])).numpy(), labels[:FACES_TRAIN])
        self.kernel, self.bias = tf.Variable(kernel), tf.Variable(bias)

    def _features(self, picture):
        return tf.nn.relu(tf.reshape(picture, [-1, PIXELS]) @ self.mix)

    @tf.function(input_signature=[tf.TensorSpec([None, 25, 25, 1], tf.float32, name="picture")])
    def features(self, picture):
        return {"features": self._features(picture)}

    @tf.function(input_signature=[tf.TensorSpec([None, 25, 25, 1], tf.float32, name="picture")])
    def probability(self, picture):
        return {"face": tf.sigmoid(self._features(picture) @ self.kernel + self.bias)}

    @tf.function(input_signature=[tf.TensorSpec([None, 200], tf.float32, name="features")])
    def classify(self, features):
        return {"face": tf.sigmoid(features @ self.kernel + self.bias)}


def many_signatures(pictures, labels):
    model = Faces(pictures, labels)
    held_out, held_out_labels = pictures[FACES_TRAIN:], labels[FACES_TRAIN:]
    check_accuracy("many-signatures", model.probability(tf.constant(held_out))["face"], held_out_labels)
    folder = OUT / "many-signatures"
    signatures = {"serving_default": model.probability, "features": model.features, "classify": model.classify}
    tf.saved_model.save(model, str(folder), signatures=signatures)
    write_zip(folder, OUT / "many-signatures.zip")
    write_tar(folder, OUT / "many-signatures.tar")
    write_tar(folder, OUT / "many-signatures.tar.gz", compress=True)
    shutil.rmtree(folder)
    write_data({"picture": pictures[:FACES_TRAIN]}, {"picture": held_out}, held_out_labels)
    # The signature `features` decides no class, so its evaluation has no labels.
    np.savez(OUT / "features-evaluation.npz", picture=held_out)


class Covariances(tf.Module):
    """What a picture's rows have to do with each other: the Cholesky factor of their covariance."""

    def __init__(self, pictures, labels):
        self.kernel, self.bias = tf.Variable(tf.zeros([PIXELS, 1])), tf.Variable([0.0])
        kernel, bias = train_head(self._features(tf.constant(pictures[:FACES_TRAIN])).numpy(), labels[:FACES_TRAIN])
        self.kernel.assign(kernel)
        self.bias.assign(bias)

    def _features(self, picture):
        rows = tf.reshape(picture, [-1, 25, 25])
        covariance = tf.matmul(rows, rows, transpose_b=True) / 25 + 0.05 * tf.eye(25)
        return tf.reshape(tf.linalg.cholesky(covariance), [-1, PIXELS])

    @tf.function(input_signature=[tf.TensorSpec([None, 25, 25, 1], tf.float32, name="picture")])
    def __call__(self, picture):
        return {"face": tf.sigmoid(self._features(picture) @ self.kernel + self.bias)}


def select_tf(pictures, labels):
    model = Covariances(pictures, labels)
    held_out, held_out_labels = pictures[FACES_TRAIN:], labels[FACES_TRAIN:]
    check_accuracy("select-tf", model(tf.constant(held_out))["face"], held_out_labels)
    folder = OUT / "select-tf"
    tf.saved_model.save(model, str(folder), signatures=model.__call__)
    write_zip(folder, OUT / "select-tf.zip")
    shutil.rmtree(folder)
    write_data({"picture": pictures[:FACES_TRAIN]}, {"picture": held_out}, held_out_labels)


MAKERS = {"two-in-two-out": two_in_two_out, "many-signatures": many_signatures, "select-tf": select_tf}

keras.utils.set_random_seed(1)
tf.config.experimental.enable_op_determinism()
pixels, is_face = faces()
MAKERS[NAME](pixels[..., None] * 2 - 1, is_face)
