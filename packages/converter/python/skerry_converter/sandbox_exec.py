"""Runs a command as sandbox.py says, and ends as it ended: by the same signal, or with the same exit code.

    python -m skerry_converter.sandbox_exec --parent PID --limits JSON [--read PATH]... [--write PATH]... \\
        -- COMMAND [ARGUMENT]...

JSON has memoryBytes, fileBytes, cpuSeconds and processes. It dies with its parent, which is named in case that has
already gone.
"""

import argparse
import json
import os
import resource
import signal
import sys

from skerry_converter.sandbox import WARDEN_FAILED, Policy, supervise
from skerry_converter.sandbox_limits import Limits

CANNOT_START = 71


def limits_from(described):
    return Limits(
        memory_bytes=described["memoryBytes"],
        file_bytes=described["fileBytes"],
        cpu_seconds=described["cpuSeconds"],
        processes=described["processes"],
    )


def main(arguments):
    parser = argparse.ArgumentParser(prog="sandbox_exec")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--limits", type=json.loads, required=True)
    parser.add_argument("--read", action="append", default=[])
    parser.add_argument("--write", action="append", default=[])
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)

    def run(_isolation):
        # Python ignores these, and what is ignored stays so.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        try:
            os.execv(options.command[0], options.command)
        except OSError as error:
            print(f"sandbox: {options.command[0]} cannot be started: {error}", file=sys.stderr, flush=True)
            return CANNOT_START

    policy = Policy(limits_from(options.limits), tuple(options.read), tuple(options.write))
    status = supervise(policy, run, options.parent).status
    if status is None:
        return WARDEN_FAILED
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
