"""Answers several requests in one process, so that TensorFlow is loaded once: a JSON array of requests as argument, events
as JSON lines out. Beside those of the job each request ends with `done` or `error`.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from skerry_converter.job import HANDLERS  # noqa: E402
from skerry_converter.protocol import ConversionFailure, Events  # noqa: E402

stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
for number, request in enumerate(json.loads(sys.argv[1])):
    events = Events(stream, request.get("id", number))
    os.makedirs(request["workDir"], exist_ok=True)
    try:
        HANDLERS[request.get("kind", "convert")](request, events)
        events.emit("done")
    except ConversionFailure as failure:
        events.emit("error", code=failure.code, message=failure.message)
