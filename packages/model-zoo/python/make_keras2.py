"""Makes models as Keras 2 wrote them: keras2.h5, and keras2.zip, a SavedModel that holds its legacy optimizer's slots.
Arguments: the folder that tf_keras is installed in, and an empty folder.
"""

import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.append(sys.argv[1])
import numpy as np
import tensorflow as tf
import tf_keras
from archives import write_zip
from face_head import check_accuracy
from pictures import FACES_TRAIN, faces
from tf_keras import layers

OUT = Path(sys.argv[2])
CALIBRATION = 100


def main():
    tf_keras.utils.set_random_seed(1)
    tf.config.experimental.enable_op_determinism()
    pictures, labels = faces()
    pictures = pictures[..., None] * 2 - 1
    mirrored = np.concatenate([pictures[:FACES_TRAIN], pictures[:FACES_TRAIN, :, ::-1]])
    model = tf_keras.Sequential(
        [
            layers.Conv2D(8, 3, input_shape=(25, 25, 1), name="picture"),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, strides=2),
            layers.LeakyReLU(0.1),
            layers.SeparableConv2D(16, 3, activation="relu"),
            layers.GlobalMaxPooling2D(),
            layers.Dropout(0.2),
            layers.Dense(1, activation="sigmoid", name="face"),
        ]
    )
    model.compile(tf_keras.optimizers.legacy.Adam(5e-3), "binary_crossentropy")
    model.fit(mirrored, np.tile(labels[:FACES_TRAIN], 2), epochs=25, batch_size=20, verbose=0)
    held_out, held_out_labels = pictures[FACES_TRAIN:], labels[FACES_TRAIN:]
    check_accuracy("keras2", model.predict(held_out, verbose=0), held_out_labels)
    model.save(OUT / "keras2.h5")
    model.save(OUT / "keras2", save_format="tf")
    write_zip(OUT / "keras2", OUT / "keras2.zip")
    shutil.rmtree(OUT / "keras2")
    name = model.input_names[0]
    np.savez(OUT / "calibration.npz", **{name: pictures[:CALIBRATION]})
    np.savez(OUT / "evaluation.npz", **{name: held_out}, y=held_out_labels)
    (OUT / "input-name.txt").write_text(name)


main()
