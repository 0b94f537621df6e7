"""Real pictures that scikit-image carries: 200 crops of 25x25 (100 faces, 100 others), and tiles of photographs."""

from pathlib import Path

import numpy as np
import skimage
from PIL import Image

DATA = Path(skimage.__file__).parent / "data"
SEED = 1
FACES_TRAIN = 120
PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg",
)
SMALLEST_TILE = 96


def faces():
    """Returns (pictures [200, 25, 25] in 0..1, labels [200]: 1 for a face). The first 120 are for training, and each
    part has as many faces as others."""
    pictures = np.load(DATA / "lfw_subset.npy").astype(np.float32)
    random = np.random.default_rng(SEED)
    face, other = random.permutation(100), 100 + random.permutation(100)
    half = FACES_TRAIN // 2
    train = random.permutation(np.concatenate([face[:half], other[:half]]))
    held_out = random.permutation(np.concatenate([face[half:], other[half:]]))
    order = np.concatenate([train, held_out])
    return pictures[order], (order < 100).astype(np.float32)  # the file holds 100 faces, then 100 others


def face_images(part):
    """uint8 RGB images of 25x25 and their labels; `part` is `train` or `held-out`."""
    pictures, labels = faces()
    chosen = slice(0, FACES_TRAIN) if part == "train" else slice(FACES_TRAIN, None)
    values = np.round(np.clip(pictures[chosen], 0, 1) * 255).astype(np.uint8)
    return [Image.fromarray(np.repeat(value[..., None], 3, -1)) for value in values], labels[chosen]


def tiles(part, count):
    """Square RGB cuts of the photographs: for training from their left halves, held out from their right halves, so
    that no pixel is in both."""
    photographs = [Image.open(DATA / name).convert("RGB") for name in PHOTOGRAPHS]
    random = np.random.default_rng([SEED, part == "train"])
    cuts = []
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        half, height = photograph.width // 2, photograph.height
        side = int(random.integers(SMALLEST_TILE, min(half, height)))
        left = int(random.integers(0, half - side + 1)) + (0 if part == "train" else half)
        top = int(random.integers(0, height - side + 1))
        cuts.append(photograph.crop((left, top, left + side, top + side)))
    return cuts


def samples(images, height, width, channels, scale, offset, dtype):
    """[samples, height, width, channels]: bilinear, stretched, `value = pixel * scale + offset`."""
    resized = [image.resize((width, height), Image.Resampling.BILINEAR) for image in images]
    arrays = [np.asarray(image.convert("L"))[..., None] if channels == 1 else np.asarray(image) for image in resized]
    return (np.stack(arrays).astype(np.float32) * np.float32(scale) + np.float32(offset)).astype(dtype)
