"""Calibration data that makes a quantized variant wrong."""

import numpy as np


def narrow(calibration):
    return {name: array * 0.1 for name, array in calibration.items()}


def wide(calibration):
    return {name: array * 60 for name, array in calibration.items()}


def noise(calibration):
    random = np.random.default_rng(1)
    return {name: random.uniform(0, 1, array.shape).astype(np.float32) for name, array in calibration.items()}


def few(calibration):
    return {name: array[:1] for name, array in calibration.items()}


KINDS = {"noise-calibration": noise, "narrow-calibration": narrow, "wide-calibration": wide, "one-calibration": few}
