"""Runs many models by ai-edge-litert's own interpreter, in one process.

Argument: a folder with cases.json, a list of {model, folder}; each folder holds raw inputs NAME.in by the names that
the model's default signature gives, else the tensors' own. Writes raw outputs NAME.out there.
"""

import json
import os
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

with open(os.path.join(sys.argv[1], "cases.json")) as file:
    cases = json.load(file)
for case in cases:
    interpreter = Interpreter(model_path=case["model"], num_threads=1)
    interpreter.allocate_tensors()
    signatures = list(interpreter.get_signature_list())
    read = lambda name, detail: np.fromfile(
        os.path.join(case["folder"], name.replace("/", "%") + ".in"), detail["dtype"]
    ).reshape(detail["shape"])
    if signatures:
        runner = interpreter.get_signature_runner(
            "serving_default" if "serving_default" in signatures else signatures[0]
        )
        results = runner(**{name: read(name, detail) for name, detail in runner.get_input_details().items()})
    else:
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], read(detail["name"], detail))
        interpreter.invoke()
        results = {each["name"]: interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()}
    for name, result in results.items():
        np.ascontiguousarray(result).tofile(os.path.join(case["folder"], name.replace("/", "%") + ".out"))
