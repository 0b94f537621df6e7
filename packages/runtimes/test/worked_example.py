"""What ai-edge-litert's interpreter answers to pictures of the worked example, variant by variant.

Arguments: the folder of the variants' .tflite files, evaluation.npz, a folder for the answers. Writes there, in the
file's own types, VARIANT.N.in and VARIANT.N.out for the two pictures N to which float32 answers least, and the two to
which it answers most: between them other kernels' rounding adds up to anything.
"""

import glob
import os
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

variants, evaluation, answers = sys.argv[1:]
pictures = np.load(evaluation)["image"][:, np.newaxis]


def run(interpreter, values):
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def interpreter_of(file):
    interpreter = Interpreter(model_path=file, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


original = interpreter_of(os.path.join(variants, "float32.tflite"))
order = np.argsort([run(original, picture).item() for picture in pictures])
for file in sorted(glob.glob(os.path.join(variants, "*.tflite"))):
    name = os.path.basename(file).removesuffix(".tflite")
    interpreter = interpreter_of(file)
    [taken] = interpreter.get_input_details()
    for index, values in enumerate(pictures[[*order[:2], *order[-2:]]]):
        if taken["dtype"] != np.float32:
            scale, zero_point = taken["quantization"]
            limits = np.iinfo(taken["dtype"])
            values = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(taken["dtype"])
        values.tofile(os.path.join(answers, f"{name}.{index}.in"))
        run(interpreter, values).tofile(os.path.join(answers, f"{name}.{index}.out"))
