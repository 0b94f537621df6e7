"""Runs a model by ai-edge-litert's own interpreter, which the tests compare with.

Arguments: the model, and a folder with raw inputs NAME.in. Writes raw outputs NAME.out there and prints what it says
about the model's borders as JSON. Names are the signature's; without a signature, the tensors'.
"""

import json
import os
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

model, folder = sys.argv[1:]
interpreter = Interpreter(model_path=model, num_threads=1)
interpreter.allocate_tensors()
signatures = interpreter.get_signature_list()
runner = interpreter.get_signature_runner(next(iter(signatures))) if signatures else None
if runner:
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
else:
    inputs = {detail["name"]: detail for detail in interpreter.get_input_details()}
    outputs = {detail["name"]: detail for detail in interpreter.get_output_details()}


def describe(details):
    return {
        name: {
            "dtype": np.dtype(detail["dtype"]).name,
            "shape": [int(size) for size in detail["shape"]],
            "scales": [float(scale) for scale in detail["quantization_parameters"]["scales"]],
            "zeroPoints": [int(point) for point in detail["quantization_parameters"]["zero_points"]],
        }
        for name, detail in details.items()
    }


values = {
    name: np.fromfile(os.path.join(folder, name + ".in"), detail["dtype"]).reshape(detail["shape"])
    for name, detail in inputs.items()
}
if runner:
    results = runner(**values)
else:
    for name, value in values.items():
        interpreter.set_tensor(inputs[name]["index"], value)
    interpreter.invoke()
    results = {name: interpreter.get_tensor(detail["index"]) for name, detail in outputs.items()}
for name, result in results.items():
    np.ascontiguousarray(result).tofile(os.path.join(folder, name + ".out"))
print(json.dumps({"signatures": list(signatures), "inputs": describe(inputs), "outputs": describe(outputs)}))
