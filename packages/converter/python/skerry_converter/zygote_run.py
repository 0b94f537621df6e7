"""One request, from the zygote's side and from that of the process forked for it."""

import json
import os
import signal
import sys
import tempfile

from skerry_converter.protocol import Events, answer, limit_in, write_whole
from skerry_converter.sandbox import Policy, supervise
from skerry_converter.sandbox_limits import Limits
from skerry_converter.sandbox_user import SANDBOX_USER, give_to

CHUNK = 1 << 16
MAXIMUM_LINE = 32 << 20
LAST_LINES = 20
MAXIMUM_LINE_TEXT = 2000
MAXIMUM_LOG_LINES = 20_000
MAXIMUM_FILES = 100_000
# What other programs on the machine are left with.
FREE_BYTES = 256 << 20
_LAST = ("done", "error")
# The zygote's own, which no request's process may send.
_RESERVED = ("ready", "log", "crashed", "cancelled")


class Lines:
    """Splits what a pipe gives into whole lines."""

    def __init__(self, descriptor):
        self.descriptor, self._rest, self.ended = descriptor, b"", False
        os.set_blocking(descriptor, False)

    def read(self, to_the_end=False):
        """Returns the whole lines there are. @raises BufferError when one never ends"""
        lines = []
        while not self.ended:
            try:
                part = os.read(self.descriptor, CHUNK)
            except BlockingIOError:
                break
            self.ended = not part
            *whole, self._rest = (self._rest + part).split(b"\n")
            lines += whole
            if len(self._rest) > MAXIMUM_LINE:
                self._rest = b""
                raise BufferError
            if not to_the_end:
                break
        if self._rest and (self.ended or to_the_end):
            lines.append(self._rest)
            self._rest = b""
        return [line.decode("utf-8", "replace") for line in lines if line]


class Run:
    def __init__(self, message, handle, emit):
        self.request_id = message["id"]
        sandbox = message.pop("sandbox")
        self._request, self._handle, self._emit_event = message, handle, emit
        self._folder = sandbox["temporaryFolder"]
        limits = sandbox["limits"]
        self._disk_bytes = limits["diskBytes"]
        self._limits = Limits(
            limits["memoryBytes"], limits["fileBytes"], limits["cpuSeconds"], limits["processes"]
        )
        self._readable, self._writable = tuple(sandbox["readable"]), tuple(sandbox["writable"])
        self._owners = {folder: os.stat(folder) for folder in self._writable}
        self._last_lines, self._logged = [], 0
        # What it ends with, whatever its process says: an event.
        self._verdict = None
        self._last = None

    def _emit(self, event, **fields):
        self._emit_event(event, id=self.request_id, **fields)

    def start(self):
        pipes = [os.pipe() for _ in range(3)]
        zygote = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            self._process = os.fork()
        except OSError:
            for descriptor in (each for pipe in pipes for each in pipe):
                os.close(descriptor)
            raise
        if self._process == 0:
            try:
                self._supervise(zygote, *(writing for _, writing in pipes))
            finally:
                os._exit(1)
        for _, writing in pipes:
            os.close(writing)
        self._events, self._log, self._end = (Lines(reading) for reading, _ in pipes)
        self._ending = []

    @property
    def descriptors(self):
        return [self._events.descriptor, self._log.descriptor, self._end.descriptor]

    def read(self, ready):
        """Passes on what there is of it; whether the process is gone."""
        if self._log.descriptor in ready:
            self._read_log()
        if self._events.descriptor in ready:
            self._read_events()
        if self._end.descriptor in ready:
            self._ending += self._end.read()
        return self._end.ended

    def cancel(self):
        self._stop({"event": "cancelled"})

    def watch(self):
        """Ends it when its folders have grown beyond what is allowed."""
        used, files = 0, 0
        for folder in self._writable:
            for size in _sizes(folder):
                used, files = used + size, files + 1
                if used > self._disk_bytes:
                    return self._stop_for_disk(f"It filled more than the {self._disk_bytes} bytes that it was allowed.")
                if files > MAXIMUM_FILES:
                    return self._stop_for_disk(f"It made more than {MAXIMUM_FILES} files.")
            status = os.statvfs(folder)
            if status.f_bavail * status.f_frsize < FREE_BYTES:
                return self._stop_for_disk(f"The disk that holds {folder} is nearly full.")

    def kill(self):
        """Its process ends what it runs, and then itself (sandbox.supervise)."""
        # It is not waited for yet: its number is nobody else's.
        os.kill(self._process, signal.SIGTERM)

    def wait(self):
        os.waitpid(self._process, 0)

    def finish(self, others):
        """Called once, after its process told its end and is gone."""
        self.wait()
        self._read_log(to_the_end=True)
        self._read_events(to_the_end=True)
        for descriptor in self.descriptors:
            os.close(descriptor)
        for folder, owner in self._owners.items():
            if not any(_overlap(folder, used) for other in others for used in other._writable):
                _give_back(folder, owner)
        event = self._verdict or self._describe_end()
        self._emit(**event)

    def _stop_for_disk(self, text):
        self._stop({"event": "error", "code": "converter-disk-limit", "message": text})

    def _stop(self, verdict):
        self._verdict = self._verdict or verdict
        self.kill()

    def _read_log(self, to_the_end=False):
        try:
            lines = self._log.read(to_the_end)
        except BufferError:
            lines = ["(a line too long to show)"]
        for line in lines:
            text = line[:MAXIMUM_LINE_TEXT]
            self._last_lines = [*self._last_lines[1 - LAST_LINES :], text]
            self._logged += 1
            if self._logged <= MAXIMUM_LOG_LINES:
                self._emit("log", line=text)

    def _read_events(self, to_the_end=False):
        try:
            lines = self._events.read(to_the_end)
        except BufferError:
            return self._stop({"event": "error", "code": "converter-failed", "message": "An event never ended."})
        for line in lines:
            try:
                event = json.loads(line)
                name = event.pop("event")
                event.pop("id", None)
            except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
                continue
            if name in _LAST:
                self._last = {"event": name, **event}
            elif self._verdict is None and isinstance(name, str) and name not in _RESERVED:
                self._emit(name, **event)

    def _describe_end(self):
        ending = json.loads(self._ending[0]) if self._ending else {"status": None, "peak": 0}
        status = ending["status"]
        if status == 0 and self._last is not None:
            return self._last
        if status is None:
            how = "SIGKILL"
        elif os.WIFSIGNALED(status):
            how = signal.Signals(os.WTERMSIG(status)).name
        else:
            how = f"exit code {os.waitstatus_to_exitcode(status)}"
        return {
            "event": "crashed",
            "code": self._limit_met(how, ending["peak"]) or "converter-crashed",
            "how": how,
            "lastLines": self._last_lines,
        }

    def _limit_met(self, how, peak_memory_bytes):
        if how in ("SIGXCPU", "SIGXFSZ"):
            return "converter-timeout" if how == "SIGXCPU" else "converter-disk-limit"
        if peak_memory_bytes > 0.95 * self._limits.memory_bytes:
            return "converter-out-of-memory"
        return limit_in("\n".join(self._last_lines))

    def _supervise(self, zygote, events, log, end):
        """In the forked process; does not return."""
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        kept = sorted((events, end))
        for lower, upper in zip([2, *kept], [*kept, 1 << 16]):
            os.closerange(lower + 1, upper)
        sys.stdout.reconfigure(line_buffering=True)
        writable = (*self._writable, self._folder)
        policy = Policy(self._limits, self._readable, writable, descriptors=(events,))
        ending = supervise(policy, lambda isolation: self._work(events, isolation), zygote)
        write_whole(end, json.dumps({"status": ending.status, "peak": ending.peak_memory_bytes}).encode())
        os._exit(0)

    def _work(self, descriptor, isolation):
        os.environ.update(HOME=self._folder, KERAS_HOME=self._folder, TMPDIR=self._folder)
        tempfile.tempdir = None
        os.chdir(self._folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            events = Events(stream, self.request_id)
            events.emit("isolated", **isolation)
            events.emit(**answer(self._handle, self._request, events))
        sys.stdout.flush()
        sys.stderr.flush()
        return 0


def _overlap(one, other):
    return os.path.commonpath([one, other]) in (one, other)


def _give_back(folder, owner):
    if os.geteuid() == 0 and os.path.isdir(folder):
        give_to(folder, owner.st_uid, owner.st_gid, only_from=SANDBOX_USER)


def _sizes(folder):
    """Of what its files take on the disk. What vanishes meanwhile takes nothing."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            yield entry.stat(follow_symlinks=False).st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(entry.path)
        except OSError:
            continue
