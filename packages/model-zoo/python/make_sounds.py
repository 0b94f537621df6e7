"""Writes calibration and evaluation windows of real recordings (guitar, metronome, voice) for a model that listens at
22050 Hz. Arguments: a folder of .wav files, the input's name, samples in a window, and an empty folder.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

RATE = 22050
CALIBRATION, EVALUATION = 64, 80
# No recording is in both.
TRAIN = ("guitar_chord1.wav", "chord_metronome1.wav", "220.wav")
HELD_OUT = ("guitar_chord2.wav", "voice.wav", "chord_metronome2.wav")


def windows(folder, names, width, count):
    recordings = [_read(folder / name) for name in names]
    step = RATE // 20
    cuts = [one[start:][:width] for one in recordings for start in range(0, len(one) - width + 1, step)]
    chosen = np.linspace(0, len(cuts) - 1, count).round().astype(int)
    return np.stack([cuts[index] for index in chosen])[..., None]


def _read(path):
    rate, values = wavfile.read(path)
    signal = values.astype(np.float64) / (np.iinfo(values.dtype).max if values.dtype.kind == "i" else 1)
    return resample_poly(signal, RATE, rate).astype(np.float32)


folder, name, width, out = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
np.savez(out / "calibration.npz", **{name: windows(folder, TRAIN, width, CALIBRATION)})
np.savez(out / "evaluation.npz", **{name: windows(folder, HELD_OUT, width, EVALUATION)})
