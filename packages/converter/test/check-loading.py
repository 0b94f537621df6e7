"""Loads models in one process. Argument: a file with a JSON array of {path, format, signature?, valuesPath?, answersPath?}; prints
a JSON line for each: {path, code?, message?, inputs?, outputs?, names?, signatures?, left}, where `left` is what is in its work
folder afterwards. `valuesPath` is an .npz with an array for each input, or with the only one; the answers go to `answersPath`.
"""

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from skerry_converter.protocol import ConversionFailure  # noqa: E402
from skerry_converter.source_loader import load  # noqa: E402



def run(source, values_path, answers_path):
    import numpy as np
    import tensorflow as tf

    values = np.load(values_path)
    only = values[values.files[0]] if len(values.files) == 1 else None
    answers = source.call([tf.constant(values[t.name] if only is None else only) for t in source.inputs])
    arrays = {tensor.name: np.asarray(answer) for tensor, answer in zip(source.outputs, answers, strict=True)}
    np.savez(answers_path, **arrays)


stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
for each in json.loads(Path(sys.argv[1]).read_text()):
    with tempfile.TemporaryDirectory() as work:
        answer = {"path": each["path"]}
        try:
            source = load(Path(each["path"]), each["format"], Path(work), each.get("signature"))
            answer |= {kind: [tensor.describe() for tensor in getattr(source, kind)] for kind in ("inputs", "outputs")}
            answer["names"] = source.names()
            answer["signatures"] = source.signatures
            if "valuesPath" in each:
                run(source, each["valuesPath"], each["answersPath"])
        except ConversionFailure as failure:
            answer |= {"code": failure.code, "message": failure.message}
        except Exception:
            answer |= {"code": "unexpected", "message": traceback.format_exc()}
        answer["left"] = sorted(os.listdir(work))
    stream.write(json.dumps(answer) + "\n")
    stream.flush()
