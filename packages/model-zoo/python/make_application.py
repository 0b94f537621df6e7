"""Makes model.keras: an architecture of keras.applications that tells faces from others. Arguments: a JSON object
{architecture, side, scale, offset, options} and an empty folder.

With random weights alone such a network answers the same to everything. So its batch normalization is given the
statistics of real pictures, and a last layer is trained on what it then makes of them.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
import tensorflow as tf
from face_head import check_accuracy, train_head
from pictures import SEED, face_images, samples

STATISTICS_PASSES = 8
STATISTICS_MOMENTUM = 0.3


def main():
    wanted, out = json.loads(sys.argv[1]), Path(sys.argv[2])
    side = wanted["side"]
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    (images, labels), (held_out_images, held_out_labels) = face_images("train"), face_images("held-out")
    shape = {"height": side, "width": side, "channels": 3, "dtype": "float32"}
    shape |= {key: wanted[key] for key in ("scale", "offset")}
    train, held_out = samples(images, **shape), samples(held_out_images, **shape)

    image = keras.Input((side, side, 3), name="image")
    architecture = getattr(keras.applications, wanted["architecture"])
    trunk = architecture(include_top=False, weights=None, input_tensor=image, **wanted.get("options", {}))
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(trunk.output)
    features = keras.Model(image, pooled)
    set_statistics(trunk, features, train)
    vectors = features.predict(train, batch_size=20, verbose=0)
    # Brought to one scale inside the kernel, so that the regularization means the same for every architecture.
    center, spread = vectors.mean(0), vectors.std(0) + 1e-3 * vectors.std() + 1e-12
    kernel, bias = train_head((vectors - center) / spread, labels, ridge=30.0)
    kernel = kernel / spread[:, None]
    model = keras.Model(image, keras.layers.Dense(1, activation="sigmoid", name="face")(pooled), name="face_or_not")
    model.get_layer("face").set_weights([kernel, bias - center @ kernel])
    answers = model.predict(held_out, batch_size=20, verbose=0)
    check_accuracy(wanted["architecture"], answers, held_out_labels)
    print(f"deviation {answers.std():.3f}", file=sys.stderr)
    model.save(out / "model.keras")


def set_statistics(trunk, features, train):
    normalizations = [layer for layer in trunk.layers if isinstance(layer, keras.layers.BatchNormalization)]
    kept = [layer.momentum for layer in normalizations]
    for layer in normalizations:
        layer.momentum = STATISTICS_MOMENTUM
    run = tf.function(lambda batch: features(batch, training=True), reduce_retracing=True)
    random = np.random.default_rng(SEED)
    for _ in range(STATISTICS_PASSES):
        run(tf.constant(train[random.permutation(len(train))[: len(train) // 2]]))
    for layer, momentum in zip(normalizations, kept, strict=True):
        layer.momentum = momentum


main()
