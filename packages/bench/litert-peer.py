"""The peer of `npm run bench -- runtime`: PyPI ai-edge-litert, one thread, the documented way.

    litert-peer.py MODEL.tflite INPUT

Says `ready` and the output's bytes in hex; then, for each line with a number, runs that many inferences (set_tensor,
invoke, get_tensor) and answers with their milliseconds as a JSON list.
"""

import json
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
(given,) = interpreter.get_input_details()
(taken,) = interpreter.get_output_details()
tensor = np.fromfile(sys.argv[2], dtype=given["dtype"]).reshape(given["shape"])


def infer():
    interpreter.set_tensor(given["index"], tensor)
    interpreter.invoke()
    return interpreter.get_tensor(taken["index"])


print(json.dumps({"ready": True, "output": infer().tobytes().hex()}), flush=True)
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        started = time.perf_counter()
        infer()
        times.append((time.perf_counter() - started) * 1000)
    print(json.dumps(times), flush=True)
