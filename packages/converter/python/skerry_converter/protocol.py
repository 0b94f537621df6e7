"""JSON lines over stdin and stdout: one request a line in, events out, until stdin ends.

A request ends with exactly one event `done` or `error`; before it come `progress`, `warning` and what the job reports
(job.py). Each event carries the request's `id`. TensorFlow and the converter print to stdout as they please, from
Python and from C++: so the real stdout is kept aside for events, and descriptor 1 becomes stderr.
"""

import json
import os
import queue
import sys
import threading
import traceback


class ConversionFailure(Exception):
    """What a request fails with, in words for its sender. `code` is one of ConversionErrorCode in TypeScript."""

    def __init__(self, code, message, detail=None):
        super().__init__(message)
        self.code, self.message, self.detail = code, message, detail


class Events:
    def __init__(self, stream, request_id):
        self._stream, self._request_id = stream, request_id

    def emit(self, event, **fields):
        line = json.dumps({"event": event, "id": self._request_id, **fields}, allow_nan=False)
        self._stream.write(line + "\n")
        self._stream.flush()

    def progress(self, stage, percent, message):
        self.emit("progress", stage=stage, percent=round(percent, 1), message=message)

    def warn(self, message):
        self.emit("warning", message=message)


def last_words(error, limit=2000):
    """The end of an exception's text, where converter errors say what they are about."""
    text = str(error).strip() or repr(error)
    return text[-limit:]


def serve(handle):
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests = queue.SimpleQueue()
    busy = threading.Event()

    def read():
        for line in sys.stdin:
            if line.strip():
                requests.put(line)
        # The sender is gone or wants no more. A job in progress has nobody to answer to.
        if busy.is_set():
            os._exit(1)
        requests.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (line := requests.get()) is not None:
        busy.set()
        request = json.loads(line)
        events = Events(stream, request.get("id"))
        last = _answer(handle, request, events)
        # Before the last event: its reader closes stdin on it, which must not look like a sender that went away.
        busy.clear()
        events.emit(**last)


def _answer(handle, request, events):
    try:
        handle(request, events)
        return {"event": "done"}
    except ConversionFailure as failure:
        return {"event": "error", "code": failure.code, "message": failure.message, "detail": failure.detail}
    except Exception as error:
        traceback.print_exc()
        return {"event": "error", "code": "converter-failed", "message": f"{type(error).__name__}: {last_words(error)}"}
