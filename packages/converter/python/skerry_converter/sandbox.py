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

# Owns no files and runs no processes. Not nobody: daemons run as nobody, and own files.
SANDBOX_USER = 65533
_NAMESPACES = libc.CLONE_NEWNS | libc.CLONE_NEWNET | libc.CLONE_NEWIPC | libc.CLONE_NEWPID | libc.CLONE_NEWUTS
_REPORT = "=iq"
WARDEN_FAILED = 70


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
        user_is_limited = user_is_limited or _become_nobody(policy)
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
    user_is_limited = user_is_limited or _become_nobody(policy)
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
            _limit(policy.limits, _others_of_user(namespaces))
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


def _become_nobody(policy):
    """As root: takes a user that owns nothing, who is given the writable folders. Whether the kernel limits the user."""
    # Looked for while all can be seen.
    paths = [*sandbox_view.runtime_paths(), *policy.readable]
    try:
        os.seteuid(SANDBOX_USER)
    except OSError:
        # A container's root without that user. The kernel does not limit the processes of the system's root alone.
        with open("/proc/self/uid_map", encoding="utf-8") as stream:
            return stream.read().split()[1] != "0"
    # The writable folders become its own; what they lie in has to let it through.
    can_read = all(_can_read(path) for path in paths) and all(
        os.access(os.path.dirname(os.path.realpath(folder)), os.X_OK, effective_ids=True) for folder in policy.writable
    )
    os.seteuid(0)
    if not can_read:
        print("sandbox: there are files that only root can read: it stays root, without privileges", flush=True)
        return False
    for folder in policy.writable:
        give_to(folder, SANDBOX_USER, SANDBOX_USER)
    os.setgroups([])
    os.setresgid(SANDBOX_USER, SANDBOX_USER, SANDBOX_USER)
    os.setresuid(SANDBOX_USER, SANDBOX_USER, SANDBOX_USER)
    # Else the files in /proc that it needs belong to root.
    libc.prctl(libc.PR_SET_DUMPABLE, 1)
    return True


def _can_read(path):
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        return True
    except FileNotFoundError:
        # Whoever asks for it is told so.
        return True
    except OSError:
        return False


def give_to(folder, user, group, only_from=None):
    """Changes the owner of a folder and of all in it; of links, not of what they lead to."""
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files, "."):
            if only_from is None or os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid == only_from:
                os.chown(name, user, group, dir_fd=descriptor, follow_symlinks=False)


def _close_others(kept):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    edges = [2, *sorted(kept), 1 << 20 if most == resource.RLIM_INFINITY else most]
    for lower, upper in zip(edges, edges[1:]):
        os.closerange(lower + 1, upper)


def _others_of_user(namespaces):
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


def _limit(limits, others):
    # RLIMIT_DATA and not RLIMIT_AS: TensorFlow and V8 reserve far more address space than they ever use.
    for kind, value in (
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NPROC, limits.processes + others),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        _set_limit(kind, value, value)
    # At the first a signal that names the limit, at the second SIGKILL.
    _set_limit(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 5)


def _set_limit(kind, soft, hard):
    most = resource.getrlimit(kind)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))


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
