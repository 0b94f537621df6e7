"""A file system that holds only what is allowed, in a mount namespace of its own: the rest is not there."""

import os
import stat
import sys

from skerry_converter import sandbox_libc as libc

_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime"),
    # How many cores and memory nodes there are.
    "/sys/devices/system",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
# Something to mount on, which is never one of ours.
_PLACES = ("/mnt", "/media", "/srv", "/run", "/home", "/var/tmp", "/tmp", "/opt")


def runtime_paths():
    """What any Python process here reads: the system's libraries, and its own environment."""
    own = [sys.prefix, sys.base_prefix, os.path.dirname(os.path.realpath(sys.executable)), *sys.path]
    return [path for path in (*_SYSTEM, *own) if os.path.isabs(path) and os.path.exists(path)]


def with_targets(paths):
    """The paths as they were given and, where links lead elsewhere, the places that they lead to; parents first."""
    whole = {os.path.abspath(path) for path in paths}
    return sorted(whole | {os.path.realpath(path) for path in whole}, key=lambda path: (path.count("/"), path))


def enter_view(readable, writable):
    """Becomes this process's root. In a mount namespace of its own, with the privileges to mount. @raises OSError"""
    libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)
    kept = [*readable, *writable]
    root = next(place for place in _PLACES if os.path.isdir(place) and not _holds_any(place, kept))
    libc.mount("none", root, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "mode=0755,size=16m")
    quiet = libc.MS_NOSUID | libc.MS_NODEV
    for path in with_targets(readable):
        _bind(root, path, quiet | libc.MS_RDONLY)
    for path in with_targets(writable):
        _bind(root, path, quiet | libc.MS_NOEXEC)
    for path in DEVICES:
        _bind(root, path, libc.MS_NOSUID | libc.MS_NOEXEC)
    _add_proc(root)
    os.chdir(root)
    # https://man7.org/linux/man-pages/man2/pivot_root.2.html, "pivot_root(".", ".")": the old root lies on the new one.
    libc.pivot_root(".", ".")
    libc.unmount(".", libc.MNT_DETACH)
    os.chdir("/")
    libc.mount(None, "/", None, libc.MS_REMOUNT | libc.MS_BIND | libc.MS_RDONLY | quiet)


def _holds_any(folder, paths):
    return any(os.path.commonpath([folder, each]) == folder for path in paths for each in (path, os.path.realpath(path)))


def _bind(root, path, flags):
    target = root + path
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        # Such as /lib, which leads into /usr; what it leads to is bound for itself.
        if not os.path.lexists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(os.readlink(path), target)
        return
    # Already there in a folder that was bound, and as readable.
    if flags & libc.MS_RDONLY and os.path.lexists(target):
        return
    if stat.S_ISDIR(status.st_mode):
        os.makedirs(target, exist_ok=True)
    elif not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    libc.mount(path, target, None, libc.MS_BIND | libc.MS_REC)
    libc.restrict_mounts(target, flags)


def _add_proc(root):
    target = f"{root}/proc"
    os.makedirs(target, exist_ok=True)
    try:
        libc.mount("proc", target, "proc", libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC)
    except OSError:
        # A container that hides parts of /proc lets nobody mount a whole one. The other processes' can be seen, not read.
        libc.mount("/proc", target, None, libc.MS_BIND | libc.MS_REC)
