"""Runs something in a process that is kept from everything but what it was given.

    supervise()   in the process made for it: namespaces of its own
      warden      first process in them: the view of the file system, then no privileges; reaps, tells how it ended
        body      limits, Landlock, a filter of system calls; then what is to be run

Each dies with the one above it. The namespaces' first process cannot be the body: the kernel withholds from it signals
that would end any other process, such as the one of its own abort().

What the system does not allow is left out, and said so (`Isolation` in src/types.ts): with root privileges, namespaces
are made as root and then a user is taken that owns nothing; else a user namespace is tried; else there are Landlock and
the filter alone, which need no privileges.
"""

import os
import resource
import signal
import struct
import traceback
from dataclasses import dataclass, field

from skerry_converter import sandbox_landlock, sandbox_seccomp, sandbox_view
from skerry_converter import sandbox_libc as libc
from skerry_converter.sandbox_limits import Limits, others_of_user
from skerry_converter.sandbox_user import become_nobody

_NAMESPACES = libc.CLONE_NEWNS | libc.CLONE_NEWNET | libc.CLONE_NEWIPC | libc.CLONE_NEWPID | libc.CLONE_NEWUTS
_REPORT = "=iq"
WARDEN_FAILED = 70


@dataclass(frozen=True)
class Policy:
    limits: Limits
    # Beside what every Python process needs: files and folders.
    readable: tuple = ()
    writable: tuple = ()
    # Descriptors that stay open, beside 0, 1 and 2.
    descriptors: tuple = field(default=())


@dataclass(frozen=True)
class Ending:
    # As waitpid gives it; None where the warden itself was ended.
    status: int | None
    peak_memory_bytes: int


def supervise(policy, body, above):
    """Runs body(isolation) as described above; returns an Ending. The caller's process is of no other use after it.

    `above` is the number of the process that the caller, and so everything here, dies with. SIGTERM to the caller ends
    what it runs: when it returns, nothing of that is left.
    """
    libc.die_with_parent(above, signal.SIGKILL)
    libc.prctl(libc.PR_SET_DUMPABLE, 1)
    user_is_limited = os.geteuid() != 0
    namespaces = _unshare(_NAMESPACES)
    if not namespaces:
        # Root of a container, mostly: the other user is taken first, since a user namespace of our own has only one.
        user_is_limited = user_is_limited or become_nobody(policy.readable, policy.writable)
        user, group = os.geteuid(), os.getegid()
        if _allows_user_namespaces():
            libc.unshare(_NAMESPACES | libc.CLONE_NEWUSER)
            _map_ids(user, group)
            namespaces = True
    libc.die_with_parent(above, signal.SIGKILL)
    reading, writing = os.pipe()
    own = os.getpid()
    # Without namespaces, what outlives the warden comes here.
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    # Until it is known what there is to end.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    warden = os.fork()
    if warden == 0:
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            os.close(reading)
            # It sees nobody above it in a namespace of its own.
            parent = 0 if namespaces else own
            libc.die_with_parent(parent, signal.SIGKILL)
            _guard(policy, body, namespaces, user_is_limited, parent, writing)
        except BaseException:
            traceback.print_exc()
        os._exit(WARDEN_FAILED)
    os.close(writing)
    signal.signal(signal.SIGTERM, lambda *_: _kill_group(warden))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    report = b""
    while part := os.read(reading, 64):
        report += part
    # A namespace's first process ends after all others in it.
    _, status = os.waitpid(warden, 0)
    _end_children()
    if len(report) == struct.calcsize(_REPORT):
        return Ending(*struct.unpack(_REPORT, report))
    return Ending(status if os.WIFEXITED(status) else None, 0)


def _kill_group(process):
    # It may not have made its group yet.
    for kill in (os.killpg, os.kill):
        try:
            kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _end_children():
    """Kills and waits until there are none: each death may bring the orphans that it left."""
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if ended != 0:
            continue
        children = _children()
        for child in children:
            _kill_group(child)
        os.waitpid(-1, 0)


def _children():
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stream:
                parent = stream.read().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid():
            found.append(int(name))
    return found


def _unshare(flags):
    try:
        libc.unshare(flags)
        return True
    except OSError:
        return False


def _map_ids(user, group):
    for file, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{file}", "w", encoding="utf-8") as stream:
            stream.write(text)


def _allows_user_namespaces():
    """Some systems give them and withhold the privileges in them: tried by a process that can be thrown away."""
    user, group = os.geteuid(), os.getegid()
    trial = os.fork()
    if trial == 0:
        try:
            libc.unshare(libc.CLONE_NEWUSER | libc.CLONE_NEWNS)
            _map_ids(user, group)
            libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(trial, 0)[1] == 0


def _guard(policy, body, namespaces, user_is_limited, parent, report):
    readable = [*sandbox_view.runtime_paths(), *policy.readable]
    view = False
    if namespaces:
        try:
            sandbox_view.enter_view(readable, policy.writable)
            view = True
        except OSError as error:
            print(f"sandbox: no view of its own: {error}", flush=True)
    # Before the change of user, after which they are not ours to drop.
    libc.drop_bounding_capabilities()
    user_is_limited = user_is_limited or become_nobody(policy.readable, policy.writable)
    libc.drop_capabilities()
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    libc.die_with_parent(parent, signal.SIGKILL)
    first = os.getpid()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(report)
            libc.die_with_parent(first, signal.SIGKILL)
            _close_others(policy.descriptors)
            landlock = _restricted(readable, policy.writable)
            filtered = _filtered()
            policy.limits.apply(others_of_user(namespaces))
            isolation = {
                "namespaces": namespaces,
                "network": not (namespaces or filtered),
                "fileSystem": view or landlock,
                "limits": policy.limits.describe(user_is_limited),
            }
            status = body(isolation)
        except BaseException:
            traceback.print_exc()
        finally:
            # Nothing of what was running when this process was made shall run its endings a second time.
            os._exit(status or 0)
    _close_others((report,))
    while True:
        # Orphans come here too, where this is the first process of its namespace.
        ended, status, usage = os.wait4(-1, 0)
        if ended == child:
            break
    os.write(report, struct.pack(_REPORT, status, usage.ru_maxrss * 1024))
    os._exit(0)


def _close_others(kept):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    edges = [2, *sorted(kept), 1 << 20 if most == resource.RLIM_INFINITY else most]
    for lower, upper in zip(edges, edges[1:]):
        os.closerange(lower + 1, upper)


def _restricted(readable, writable):
    if sandbox_landlock.version() == 0:
        return False
    allowed = sandbox_view.with_targets(readable)
    writing = [*sandbox_view.with_targets(writable), *sandbox_view.DEVICES]
    try:
        sandbox_landlock.restrict([*allowed, "/proc"], writing)
        return True
    except OSError as error:
        print(f"sandbox: no Landlock: {error}", flush=True)
        return False


def _filtered():
    if not sandbox_seccomp.can_filter():
        return False
    try:
        sandbox_seccomp.filter_system_calls()
        return True
    except OSError as error:
        print(f"sandbox: no filter of system calls: {error}", flush=True)
        return False
