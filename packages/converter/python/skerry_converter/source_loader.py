"""Reads a model of any format, after everything in it that could do harm was refused."""

import shutil
from pathlib import Path

from skerry_converter.keras_model import load_h5, load_keras
from skerry_converter.saved_model import load_saved_model
from skerry_converter.tfjs_model import load_tfjs


def load(path, source_format, work, signature=None):
    """The Source at `path`, a file or, for a SavedModel and TensorFlow.js, also a folder.

    What has to be unpacked lies in `work` afterwards, and nothing of it when this fails. `signature`: which one of a
    SavedModel's; None for serving_default or the only one.
    @raises ConversionFailure `not-a-model`, `unsafe-model`, `unsafe-archive`, `unknown-signature`, `converter-failed`
    """
    path, unpacked = Path(path), Path(work) / "source"
    # Left by an earlier process that died in a variant.
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        if source_format == "keras":
            return load_keras(path, unpacked)
        if source_format == "h5":
            return load_h5(path)
        if source_format == "tfjs":
            return load_tfjs(path, unpacked)
        return load_saved_model(path, unpacked, signature)
    except BaseException:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise
