"""A filter of system calls: no network, and none of those that attacks on the kernel begin with.

What it refuses, namespaces and Landlock mostly refuse too; it is there for systems that allow neither.
"""

import ctypes
import errno
import os
import platform
import struct

from skerry_converter.sandbox_libc import PR_SET_SECCOMP, SECCOMP_MODE_FILTER, prctl

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Offsets in struct seccomp_data; both architectures are little-endian.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_NAMESPACES = 0x7E020000
_OTHER_ABI = 0x40000000

_NAMES = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "open_by_handle_at", "bpf", "perf_event_open", "userfaultfd"),
    *("add_key", "request_key", "keyctl", "kexec_load", "init_module", "finit_module", "delete_module"),
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns"),
    # Of any kind: sockets of this machine's services are files that Landlock knows nothing of. Pairs stay allowed.
    "socket",
)
# The same everywhere: io_uring_setup (which opens sockets too), open_tree, move_mount, fsopen, fsmount, mount_setattr.
_COMMON = (425, 428, 429, 430, 432, 442)
_CLONE3 = 435
_SYSTEMS = {
    "x86_64": (
        0xC000003E,
        dict(zip(_NAMES, (101, 310, 311, 304, 321, 298, 323, 248, 249, 250, 246, 175, 313, 176, 165, 166, 155, 161, 272, 308, 41), strict=True)),
        56,
    ),
    "aarch64": (
        0xC00000B7,
        dict(zip(_NAMES, (117, 270, 271, 265, 280, 241, 282, 217, 218, 219, 104, 105, 273, 106, 40, 39, 41, 51, 97, 268, 198), strict=True)),
        220,
    ),
}


def filter_system_calls():
    """For this process and all that it starts; PR_SET_NO_NEW_PRIVS must be set. @raises OSError"""
    system = _SYSTEMS.get(platform.machine())
    if system is None:
        raise OSError(errno.ENOSYS, f"no filter is known for {platform.machine()}")
    architecture, refused, clone = system

    def instruction(code, value, if_true=0, if_false=0):
        return struct.pack("=HBBI", code, if_true, if_false, value)

    def refuse(number):
        return instruction(_RETURN, _ERRNO | number)

    allow = instruction(_RETURN, _ALLOW)
    program = [
        instruction(_LOAD, _ARCHITECTURE),
        *(instruction(_EQUAL, architecture, 1), refuse(errno.EPERM)),
        instruction(_LOAD, _NUMBER),
        *(instruction(_AT_LEAST, _OTHER_ABI, 0, 1), refuse(errno.EPERM)),
    ]
    for number in (*refused.values(), *_COMMON):
        program += [instruction(_EQUAL, number, 0, 1), refuse(errno.EPERM)]
    # Its flags are in memory, where a filter cannot look; without it the C library takes clone.
    program += [instruction(_EQUAL, _CLONE3, 0, 1), refuse(errno.ENOSYS)]
    program += [
        instruction(_EQUAL, clone, 0, 4),
        instruction(_LOAD, _FIRST_ARGUMENT),
        *(instruction(_ANY_BIT, _NAMESPACES, 0, 1), refuse(errno.EPERM), allow),
    ]
    program.append(allow)
    code = b"".join(program)
    kept = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: a 16-bit count, padded, and a pointer.
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(kept)))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header)


def can_filter():
    return platform.machine() in _SYSTEMS and os.path.exists("/proc/sys/kernel/seccomp")
