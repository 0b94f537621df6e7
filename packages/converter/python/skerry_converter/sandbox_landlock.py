"""Landlock: what a process may read and write, decided once and for all that it starts. No privileges are needed.

https://docs.kernel.org/userspace-api/landlock.html; Linux 5.13 and later.
"""

import ctypes
import os
import stat
import struct

from skerry_converter.sandbox_libc import syscall

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG, _MAKE_SYM = 1 << 7, 1 << 8, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_FOR_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ = _EXECUTE | _READ_FILE | _READ_DIR
# No devices, sockets or pipes are made, and nothing that was written is run.
_WRITE = (
    (_READ & ~_EXECUTE) | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER | _TRUNCATE
)


def version():
    """0 where the kernel has none."""
    try:
        return syscall("landlock", _CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(readable, writable):
    """For this process and all that it starts; PR_SET_NO_NEW_PRIVS must be set. @raises OSError"""
    abi = version()
    # Bits by version of the interface: 13 until 2 added one, 3 another, and 5 one for devices.
    handled = (1 << (13 if abi < 2 else 14 if abi < 3 else 15 if abi < 5 else 16)) - 1
    # TCP (4) and signals and abstract sockets to processes outside (6).
    network, scoped = (3 if abi >= 4 else 0), (3 if abi >= 6 else 0)
    fields = [handled] + [network] * (abi >= 4) + [scoped] * (abi >= 6)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = syscall("landlock_create_ruleset", _CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for paths, access in ((readable, _READ), (writable, _WRITE)):
            for path in paths:
                _allow(ruleset, path, access & handled)
        syscall("landlock_restrict_self", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset, path, access):
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        allowed = access if stat.S_ISDIR(os.fstat(descriptor).st_mode) else access & _FOR_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, descriptor), 12)
        syscall("landlock_add_rule", _ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)
