"""One process that has imported TensorFlow, and forks another for each request: the import costs seconds, a fork not.

    zygote             one thread: waits on stdin and on its children's pipes; runs nothing of any model
      supervise        sandbox.py; the one process of the request's that the zygote waits for
        warden
          the request

Only a process with one thread can be forked whole: TensorFlow's threads would be missing in the child, with what they
hold. They start with its eager context; so nothing here may use TensorFlow beyond importing it.

A request's `sandbox` is {temporaryFolder, readable, writable, limits: {memoryBytes, fileBytes, diskBytes, cpuSeconds,
processes}}; `temporaryFolder` lies in a writable folder or is named among them.
"""

import gc
import json
import os
import select
import time

from skerry_converter.protocol import write_whole
from skerry_converter.zygote_run import Run

CHUNK = 1 << 16
WATCH_SECONDS = 1.0


class Zygote:
    def __init__(self, handlers):
        self._handlers = handlers
        self._runs = {}
        self._poll = select.poll()
        # What is printed, from Python and from C++, is no event.
        self._out = os.dup(1)
        os.dup2(2, 1)

    def emit(self, event, **fields):
        write_whole(self._out, (json.dumps({"event": event, **fields}, allow_nan=False) + "\n").encode())

    def serve(self):
        # What lives on is neither looked at nor written to by the garbage collector, which would copy its pages.
        gc.collect()
        gc.freeze()
        self._poll.register(0, select.POLLIN)
        pending, watched = b"", time.monotonic()
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll(WATCH_SECONDS * 1000 if self._runs else None)}
            if 0 in ready:
                part = os.read(0, CHUNK)
                if not part:
                    break
                *lines, pending = (pending + part).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
            for run in list(self._runs.values()):
                if run.read(ready):
                    self._finish(run)
            if time.monotonic() - watched >= WATCH_SECONDS:
                watched = time.monotonic()
                for run in self._runs.values():
                    run.watch()
        # The sender is gone or wants no more.
        for run in self._runs.values():
            run.kill()
        for run in list(self._runs.values()):
            run.wait()

    def _take(self, message):
        if "cancel" in message:
            run = self._runs.get(message["cancel"])
            if run is not None:
                run.cancel()
            return
        request_id = message["id"]
        handle = self._handlers.get(message.get("kind"))
        words = None if handle else f"There is no request of the kind {message.get('kind')}."
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            words = f"The converter process has {threads} threads: it cannot be forked whole."
        if words is not None:
            self.emit("error", id=request_id, code="converter-failed", message=words)
            return
        run = Run(message, handle, self.emit)
        try:
            run.start()
        except OSError as error:
            self.emit("error", id=request_id, code="converter-unavailable", message=f"No process could be made: {error}")
            return
        self._runs[request_id] = run
        for descriptor in run.descriptors:
            self._poll.register(descriptor, select.POLLIN)

    def _finish(self, run):
        del self._runs[run.request_id]
        for descriptor in run.descriptors:
            self._poll.unregister(descriptor)
        run.finish(others=self._runs.values())


def serve(load):
    """`load` imports everything, and returns the handlers: {kind: function of (request, events)}."""
    started = time.monotonic()
    zygote = Zygote(load())
    zygote.emit("ready", milliseconds=round((time.monotonic() - started) * 1000))
    zygote.serve()
