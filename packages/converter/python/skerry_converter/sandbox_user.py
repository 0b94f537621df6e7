"""The user that models run as where the caller is root."""

import os

from skerry_converter import sandbox_libc as libc
from skerry_converter.sandbox_view import runtime_paths

# Owns no files and runs no processes. Not nobody: daemons run as nobody, and own files.
SANDBOX_USER = 65533


def become_nobody(readable, writable):
    """As root: takes a user that owns nothing, who is given the writable folders. Whether the kernel limits the user."""
    # Looked for while all can be seen.
    paths = [*runtime_paths(), *readable]
    try:
        os.seteuid(SANDBOX_USER)
    except OSError:
        # A container's root without that user. The kernel does not limit the processes of the system's root alone.
        with open("/proc/self/uid_map", encoding="utf-8") as stream:
            return stream.read().split()[1] != "0"
    # The writable folders become its own; what they lie in has to let it through.
    can_read = all(_can_read(path) for path in paths) and all(
        os.access(os.path.dirname(os.path.realpath(folder)), os.X_OK, effective_ids=True) for folder in writable
    )
    os.seteuid(0)
    if not can_read:
        print("sandbox: there are files that only root can read: it stays root, without privileges", flush=True)
        return False
    for folder in writable:
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
