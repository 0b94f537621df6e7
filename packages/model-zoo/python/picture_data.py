"""Writes calibration and evaluation data of real pictures. Arguments: a JSON object and an empty folder.

The object: kind `faces`, `tiles` or `both`; calibration, evaluation: how many; either input, height, width, channels,
scale, offset, dtype and labelled (then .npz files are written), or images: true (then zip archives of PNG files).
"""

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from pictures import face_images, samples, tiles


def pick(kind, part, count):
    """As many of each kind, and at most `count`; labels only for faces alone."""
    if kind == "tiles":
        return tiles(part, count), None
    images, labels = face_images(part)
    if kind == "faces":
        return images[:count], labels[:count]
    return images[: count // 2] + tiles(part, count - count // 2), None


def main():
    wanted, out = json.loads(sys.argv[1]), Path(sys.argv[2])
    for part, name in (("train", "calibration"), ("held-out", "evaluation")):
        images, labels = pick(wanted["kind"], part, wanted[name])
        if wanted.get("images"):
            with zipfile.ZipFile(out / f"{name}.zip", "w") as archive:
                for index, image in enumerate(images):
                    encoded = io.BytesIO()
                    image.save(encoded, "PNG")
                    # A fixed time, so that the same pictures are the same bytes.
                    archive.writestr(zipfile.ZipInfo(f"{index:03}.png"), encoded.getvalue())
            continue
        shape = {key: wanted[key] for key in ("height", "width", "channels", "scale", "offset", "dtype")}
        arrays = {wanted["input"]: samples(images, **shape)}
        if wanted.get("labelled") and name == "evaluation":
            arrays["y"] = labels
        np.savez_compressed(out / f"{name}.npz", **arrays)


main()
