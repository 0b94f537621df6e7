"""JSON lines over stdin and stdout: one request a line in, events out, until stdin ends.

    {"id": 1, "kind": "convert", ..., "sandbox": {...}}   a request; zygote.py says what stands in `sandbox`
    {"cancel": 1}                                         ends that request, at once

A request ends with exactly one event `done`, `error` {code, message, detail?}, `crashed` {code, how, lastLines} or
`cancelled`, and by then its process is gone with all that it started; before it come `isolated`, `progress`, `warning`,
`log` {line} and what the job reports (job.py). Each carries the request's `id`. `ready` comes once, without an id.
"""

import errno
import json
import os
import re
import traceback


class ConversionFailure(Exception):
    """What a request fails with, in words for its sender. `code` is one of ConversionErrorCode in TypeScript."""

    def __init__(self, code, message, detail=None):
        super().__init__(message)
        self.code, self.message, self.detail = code, message, detail


class Events:
    """Writes events of one request to a stream."""

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


def answer(handle, request, events):
    """Runs a request; returns its last event."""
    try:
        handle(request, events)
        return {"event": "done"}
    except ConversionFailure as failure:
        return {"event": "error", "code": failure.code, "message": failure.message, "detail": failure.detail}
    except Exception as error:
        traceback.print_exc()
        words = f"{type(error).__name__}: {last_words(error)}"
        return {"event": "error", "code": limit_of(error) or "converter-failed", "message": words}


_MEMORY = re.compile(
    r"std::bad_alloc|MemoryError|OOM when allocating|RESOURCE_EXHAUSTED.*alloc|Cannot allocate memory|out of memory|"
    # A thread needs memory for its stack, and counts among the processes.
    r"pthread_create\(\) failed|can't start new thread",
    re.IGNORECASE,
)
_DISK = re.compile(r"File too large|No space left on device|Disk quota exceeded")


def limit_in(text):
    """The limit that a process's words speak of, as an error code; TensorFlow has these only as text."""
    if _MEMORY.search(text):
        return "converter-out-of-memory"
    return "converter-disk-limit" if _DISK.search(text) else None


def limit_of(error):
    if isinstance(error, MemoryError):
        return "converter-out-of-memory"
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT):
        return "converter-disk-limit"
    return limit_in(last_words(error))


def write_whole(descriptor, content):
    """os.write may take a part."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
