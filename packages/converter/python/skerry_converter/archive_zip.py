"""The entries of a zip archive, all of them checked first."""

import stat
import struct
import zipfile

from skerry_converter.archive_limits import (
    MAXIMUM_BYTES,
    MAXIMUM_FILES,
    MAXIMUM_RATIO,
    RATIO_FLOOR_BYTES,
    unsafe_entry,
)
from skerry_converter.protocol import ConversionFailure

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_LOCAL_HEADER = struct.Struct("<4s22xHH")


def zip_entries(opened, file, budget):
    """(name, function that opens the content, or None for a folder) of each entry of the ZipFile that reads `file`."""
    infos = opened.infolist()
    if len(infos) > MAXIMUM_FILES:
        raise unsafe_entry(infos[MAXIMUM_FILES].filename, f"is one of {len(infos)}; {MAXIMUM_FILES} are allowed")
    for info in infos:
        _check(info)
    total = sum(info.file_size for info in infos)
    if total > budget.limit:
        raise ConversionFailure(
            "unsafe-archive", f"The archive unpacks to {total} bytes; {budget.limit} are allowed for its size."
        )
    _refuse_overlaps(infos, file)
    return [(info.filename, None if info.is_dir() else lambda info=info: opened.open(info)) for info in infos]


def _check(info):
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise unsafe_entry(info.filename, "is neither a plain file nor a folder")
    # zipfile cuts names at a NUL, which others do not.
    if "\0" in info.orig_filename:
        raise unsafe_entry(info.orig_filename, "has two names")
    if info.flag_bits & _ENCRYPTED:
        raise unsafe_entry(info.filename, "is encrypted")
    if info.compress_type not in _METHODS:
        raise ConversionFailure(
            "not-a-model", f"The archive's entry {info.filename!r} is packed by a method that is not read; use deflate."
        )
    if info.file_size > MAXIMUM_BYTES:
        raise unsafe_entry(info.filename, f"has {info.file_size} bytes; {MAXIMUM_BYTES} are allowed")
    if info.file_size > RATIO_FLOOR_BYTES and info.file_size > MAXIMUM_RATIO * info.compress_size:
        raise unsafe_entry(info.filename, f"unpacks {info.compress_size} bytes to {info.file_size}")


def _refuse_overlaps(infos, file):
    """Entries that share bytes unpack the same ones over and over."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise unsafe_entry(info.filename, "overlaps another")
        file.seek(info.header_offset)
        signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if signature != b"PK\3\4":
            raise zipfile.BadZipFile(f"{info.filename!r} has no header")
        end = info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes + info.compress_size
