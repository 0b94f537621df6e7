"""Small labelled pictures out of the photographs that scikit-image carries: real data, as much of it as is wanted."""

from pathlib import Path

import numpy as np

BLOCK = 64
CROP = 48


def folder():
    import skimage

    return Path(skimage.__file__).parent / "data"


def photograph(name):
    """[height, width, 3] in 0..1."""
    from PIL import Image

    return np.asarray(Image.open(folder() / name).convert("RGB"), np.float32) / 255


def crops(names, count, seed, held_out):
    """`count` crops of 48x48 in 0..1, and the number of the photograph of each.

    Every fourth block of 64x64 is held out; no crop reaches over the edge of its block, so that none of the held-out
    ones was seen in training.
    """
    random = np.random.default_rng(seed)
    pictures, labels = [], random.integers(0, len(names), count)
    images = [photograph(name) for name in names]
    for label in labels:
        image = images[label]
        rows, columns = image.shape[0] // BLOCK, image.shape[1] // BLOCK
        while True:
            row, column = random.integers(0, rows), random.integers(0, columns)
            if ((row + 2 * column) % 4 == 0) == held_out:
                break
        top, left = BLOCK * row + random.integers(0, 17), BLOCK * column + random.integers(0, 17)
        crop = image[top : top + CROP, left : left + CROP]
        pictures.append(crop[:, :: random.choice([1, -1])])
    return np.stack(pictures), labels


def resize(pictures, side, method="bilinear"):
    import tensorflow as tf

    return tf.image.resize(pictures, (side, side), method=method).numpy()


def faces(seed, train):
    """Positions of the training and of the held-out pictures in lfw_subset.npy, as example_model.py draws them."""
    random = np.random.default_rng(seed)
    people, others = random.permutation(100), 100 + random.permutation(100)
    half = train // 2
    random.permutation(np.concatenate([people[:half], others[:half]]))
    held_out = random.permutation(np.concatenate([people[half:], others[half:]]))
    small = np.load(folder() / "lfw_subset.npy").astype(np.float32)
    return small[held_out], (held_out < 100).astype(np.int64)
