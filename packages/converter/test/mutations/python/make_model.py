"""Trains one model of the mutation table and writes everything that the judge's proof needs of it.

Arguments: the model's name, an empty folder; for `faces`, the example model's folder (example_model.py).
Writes data sets (NAME.npz of x:INPUT, and y:OUTPUT or target:OUTPUT; NAME.reference.npz with the original's answers),
the converted variants, the faulty ones, and model.json, last.
"""

import itertools
import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parent))
from convert import RECIPES, convert, export
from file_faults import FILE_FAULTS, NotApplicable, apply
from models import MODELS

name, out = sys.argv[1], Path(sys.argv[2])
keras.utils.set_random_seed(11)
model = MODELS[name](*map(Path, sys.argv[3:]))


def write(data_set, inputs, more={}, answer=False):
    np.savez(out / f"{data_set}.npz", **{f"x:{key}": value for key, value in inputs.items()}, **more)
    if answer:
        answers = model.answer(inputs)
        np.savez(out / f"{data_set}.reference.npz", **{f"x:{key}": value for key, value in answers.items()})


def probes(shapes, seed=5):
    """Zeros, ones, minus ones, and noise about another level and of another strength in each sample: noise of one kind
    is answered alike by most models. The last samples repeat earlier ones with two inputs of equal shape exchanged.
    """
    random = np.random.default_rng(seed)
    made = {}
    for key, shape in shapes.items():
        one = [1] * len(shape)
        level, strength = random.uniform(-1, 1, (24, *one)), random.uniform(0, 1, (24, *one))
        made[key] = np.clip(level + strength * random.uniform(-1, 1, (24, *shape)), -1, 1).astype(np.float32)
        made[key][0], made[key][1], made[key][2] = 0, 1, -1
    alike = [(a, b) for a, b in itertools.combinations(shapes, 2) if shapes[a] == shapes[b]]
    for sample in range(14, 24) if alike else []:
        a, b = alike[sample % len(alike)]
        for key in shapes:
            made[key][sample] = made[{a: b, b: a}.get(key, key)][sample - 10]
    return made


for data_set in ("evaluation", "large"):
    write(data_set, *getattr(model, data_set), answer=True)
write("probes", probes({key: value.shape[1:] for key, value in model.evaluation[0].items()}), answer=True)
for fault, change in model.input_faults.items():
    for data_set in ("evaluation", "large"):
        write(f"{data_set}@{fault}", change(data_set))

export(model.keras, out / "export")
candidates = []
good = {}
for recipe in RECIPES:
    good[recipe] = convert(out / "export", recipe, model.calibration)
    (out / f"{recipe}.tflite").write_bytes(good[recipe])
    candidates.append({"fault": "none", "variant": recipe, "file": f"{recipe}.tflite"})


def candidate(fault, variant, content):
    file = f"{variant}@{fault}.tflite"
    (out / file).write_bytes(content)
    candidates.append({"fault": fault, "variant": variant, "file": file})


for fault, calibration in model.calibration_faults.items():
    candidate(fault, "full_int8", convert(out / "export", "full_int8", calibration))
candidate("per-tensor", "full_int8", convert(out / "export", "full_int8", model.calibration, per_channel=False))
export(model.stale(), out / "stale")
for recipe in ("float32", "full_int8"):
    candidate("stale-weights", recipe, convert(out / "stale", recipe, model.calibration))
for recipe in ("float16", "dynamic_int8"):
    candidate(f"really-{recipe}", "float32", good[recipe])
for fault in FILE_FAULTS:
    for recipe in FILE_FAULTS[fault]:
        try:
            candidate(fault, recipe, apply(fault, good[recipe]))
        except NotApplicable as reason:
            print(f"{name}: {fault} on {recipe}: {reason}", file=sys.stderr)
for fault in model.input_faults:
    for recipe in ("float32", "full_int8"):
        candidates.append({"fault": fault, "variant": recipe, "file": f"{recipe}.tflite", "data": fault})

tf.io.gfile.rmtree(str(out / "export"))
tf.io.gfile.rmtree(str(out / "stale"))
description = {
    "name": name,
    "about": model.about,
    "inputs": list(model.evaluation[0]),
    "outputs": model.outputs,
    "measure": model.measure,
    "candidates": candidates,
}
(out / "model.json").write_text(json.dumps(description, indent=1))
