"""Builds the worked example's model: MobileNetV2 with one sigmoid unit, "is this a face?".

With random weights alone such a model answers 0.5 to everything, and every check of a converted copy would pass. So
its batch normalization is given real statistics and its last layer is trained, on the 200 small pictures (100 faces,
100 others) that scikit-image carries, and the build fails unless the model tells the held-out ones apart.

Writes into --out: model.keras; calibration.npz and evaluation.npz (pictures apart from each other, the latter with
labels `y`); noise.npz (a calibration set that is wrong on purpose); metrics.json, last, so that its presence means a
whole result. Progress goes to stdout, one JSON object a line.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SIDE = 224
TRAIN = 120
CALIBRATION = 100
STATISTICS_PASSES = 8
MINIMUM_ACCURACY = 0.9
MINIMUM_DEVIATION = 0.1
# How a caller must prepare a picture for this model.
PREPROCESSING = {"resize": "bilinear", "antialias": False, "range": [-1, 1], "layout": "NHWC", "channels": 3}


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def progress(stage, percent, message):
    emit("progress", stage=stage, percent=percent, message=message)


def load_pictures(seed):
    """Returns (pictures [200, 224, 224, 3] in -1..1, labels [200]); each half of train and held-out is balanced."""
    import numpy as np
    import skimage
    import tensorflow as tf

    small = np.load(Path(skimage.__file__).parent / "data" / "lfw_subset.npy").astype(np.float32)
    labels = np.repeat(np.float32([1, 0]), 100)  # the file holds 100 faces, then 100 others
    random = np.random.default_rng(seed)
    faces, others = random.permutation(100), 100 + random.permutation(100)
    half = TRAIN // 2
    train = random.permutation(np.concatenate([faces[:half], others[:half]]))
    held_out = random.permutation(np.concatenate([faces[half:], others[half:]]))
    order = np.concatenate([train, held_out])
    large = tf.image.resize(small[order][..., None], (SIDE, SIDE), method=PREPROCESSING["resize"]).numpy()
    return np.repeat(large * 2 - 1, 3, axis=-1).astype(np.float32), labels[order]


def train_head(features, labels, ridge=3.0, steps=15):
    """Logistic regression by Newton's method. There are more features than samples, so it is solved for one weight
    per sample (the solution is a combination of the samples), which makes it exact and fast.

    Returns [kernel [features, 1], bias [1]].
    """
    import numpy as np

    samples = np.hstack([features, np.ones((len(features), 1))]).astype(np.float64)
    products = samples @ samples.T
    weights = np.zeros(len(samples))
    for _ in range(steps):
        logits = products @ weights
        probability = 1 / (1 + np.exp(-logits))
        curvature = np.maximum(probability * (1 - probability), 1e-6)
        target = logits + (labels - probability) / curvature
        weights = np.linalg.solve(products + ridge * np.diag(1 / curvature), target)
    solution = samples.T @ weights
    return [solution[:-1, None].astype(np.float32), solution[-1:].astype(np.float32)]


def build(alpha, weights, seed, pictures, labels):
    """Returns the model and its (inputs, outputs) on the pictures that training never saw."""
    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    train = pictures[:TRAIN]
    image = keras.Input((SIDE, SIDE, 3), name="image")
    trunk = keras.applications.MobileNetV2(
        include_top=False, alpha=alpha, weights=None if weights == "none" else weights, input_tensor=image
    )
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(trunk.output)
    features = keras.Model(image, pooled)

    if weights == "none":
        normalizations = [layer for layer in trunk.layers if isinstance(layer, keras.layers.BatchNormalization)]
        kept = [layer.momentum for layer in normalizations]
        for layer in normalizations:
            layer.momentum = 0.3
        run = tf.function(lambda batch: features(batch, training=True), reduce_retracing=True)
        random = np.random.default_rng(seed)
        for index in range(STATISTICS_PASSES):
            batch = train[random.permutation(TRAIN)[: TRAIN // 2]]
            run(tf.constant(batch))
            done = index + 1
            progress("statistics", 10 + 50 * done // STATISTICS_PASSES, f"forward pass {done} of {STATISTICS_PASSES}")
        for layer, momentum in zip(normalizations, kept, strict=True):
            layer.momentum = momentum

    progress("features", 65, "pooling the training pictures")
    vectors = features.predict(train, batch_size=20, verbose=0)
    progress("training", 85, "training the last layer")
    model = keras.Model(image, keras.layers.Dense(1, activation="sigmoid", name="face")(pooled), name="face_or_not")
    model.get_layer("face").set_weights(train_head(vectors[:TRAIN], labels[:TRAIN]))
    progress("evaluating", 90, "running the held-out pictures")
    return model, model.predict(pictures[TRAIN:], batch_size=20, verbose=0)


def write(path, arrays):
    import numpy as np

    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--alpha", type=float, choices=[1.0, 0.35], default=1.0)
    parser.add_argument("--weights", choices=["none", "imagenet"], default="none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data-only", action="store_true", help="write the .npz files and no model")
    arguments = parser.parse_args()
    started = time.monotonic()
    arguments.out.mkdir(parents=True, exist_ok=True)
    metrics_path = arguments.out / "metrics.json"
    metrics_path.unlink(missing_ok=True)

    progress("start", 0, "loading TensorFlow")
    import keras
    import numpy as np
    import tensorflow as tf

    progress("pictures", 5, "preparing 200 pictures")
    pictures, labels = load_pictures(arguments.seed)
    held_out = labels[TRAIN:]
    write(arguments.out / "calibration.npz", {"image": pictures[:CALIBRATION]})
    write(arguments.out / "evaluation.npz", {"image": pictures[TRAIN:], "y": held_out})
    # What np.random.random gives: only the upper half of the range that pictures are in, and nothing like them.
    noise = np.random.default_rng(arguments.seed).random(pictures[:CALIBRATION].shape)
    write(arguments.out / "noise.npz", {"image": noise.astype(np.float32)})

    metrics = {
        "recipe": {
            "script": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
            "alpha": arguments.alpha,
            "weights": arguments.weights,
            "seed": arguments.seed,
            "dataOnly": arguments.data_only,
        },
        "preprocessing": PREPROCESSING,
        "trainSamples": TRAIN,
        "evaluationSamples": len(held_out),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
    if not arguments.data_only:
        model, outputs = build(arguments.alpha, arguments.weights, arguments.seed, pictures, labels)
        accuracy = float(np.mean((outputs[:, 0] >= 0.5) == (held_out == 1)))
        deviation = float(np.std(outputs))
        if accuracy < MINIMUM_ACCURACY or deviation < MINIMUM_DEVIATION:
            sys.exit(
                f"the example model does not tell faces apart: held-out accuracy {accuracy:.3f} "
                f"(at least {MINIMUM_ACCURACY}), deviation of its outputs {deviation:.3f} (at least {MINIMUM_DEVIATION})"
            )
        progress("saving", 95, "writing model.keras")
        partial = arguments.out / "partial.keras"
        model.save(partial)
        partial.rename(arguments.out / "model.keras")
        metrics |= {
            "accuracy": accuracy,
            "outputDeviation": deviation,
            "outputMinimum": float(outputs.min()),
            "outputMaximum": float(outputs.max()),
            "parameters": model.count_params(),
        }
    metrics["seconds"] = round(time.monotonic() - started, 2)
    metrics_path.write_text(json.dumps(metrics, indent=2) + "\n")
    progress("done", 100, "done")
    emit("result", **metrics)


if __name__ == "__main__":
    main()
