"""What a process may take, enforced by the kernel."""

import os
import resource
from dataclasses import dataclass

from skerry_converter.sandbox_user import SANDBOX_USER


@dataclass(frozen=True)
class Limits:
    """Of one process, except `processes`: threads and processes of the user, together."""

    memory_bytes: int
    file_bytes: int
    cpu_seconds: int
    processes: int
    open_files: int = 4096

    def describe(self, processes_limited=True):
        return {
            "memoryBytes": self.memory_bytes,
            "fileBytes": self.file_bytes,
            "cpuSeconds": self.cpu_seconds,
            "processes": self.processes if processes_limited else 0,
        }

    def apply(self, others):
        """To this process and all that it starts. `others`: threads of the same user that are none of its own."""
        # RLIMIT_DATA and not RLIMIT_AS: TensorFlow and V8 reserve far more address space than they ever use.
        for kind, value in (
            (resource.RLIMIT_DATA, self.memory_bytes),
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_NPROC, self.processes + others),
            (resource.RLIMIT_NOFILE, self.open_files),
            (resource.RLIMIT_CORE, 0),
        ):
            _set_limit(kind, value, value)
        # At the first a signal that names the limit, at the second SIGKILL.
        _set_limit(resource.RLIMIT_CPU, self.cpu_seconds, self.cpu_seconds + 5)


def _set_limit(kind, soft, hard):
    most = resource.getrlimit(kind)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))


def others_of_user(namespaces):
    """Threads that count against the limit and are none of ours."""
    numbers = os.uname().release.split(".")
    counts_by_namespace = [int(number) for number in numbers[:2]] >= [5, 14]
    if os.geteuid() in (0, SANDBOX_USER) or (namespaces and counts_by_namespace):
        return 0
    threads = 0
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.geteuid():
                threads += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue
    return threads
