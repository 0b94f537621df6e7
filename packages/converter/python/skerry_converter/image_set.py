"""The files of an image set: a zip archive that nobody vouches for, or a folder of this machine. Nothing is unpacked."""

import contextlib
import os
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Callable

from skerry_converter.protocol import ConversionFailure

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
LABEL_FILES = ("labels.json", "labels.csv")
# What file managers leave behind.
LITTER = ("thumbs.db", "desktop.ini")
MAXIMUM_FILES = 50_000
MAXIMUM_BYTES = 4 << 30
MAXIMUM_FILE_BYTES = 64 << 20

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class SetFile:
    name: str  # relative to the set, with "/"
    size: int  # as the archive says, which may be a lie
    read: Callable[[], bytes]


def is_image_set(path):
    """Whether the data are images, and not an .npz (a zip of *.npy entries)."""
    if Path(path).is_dir():
        return True
    if not zipfile.is_zipfile(path):
        return False
    with contextlib.suppress(*DAMAGE), zipfile.ZipFile(path) as archive:
        names = [name.lower() for name in archive.namelist()]
        return not any(name.endswith(".npy") for name in names) and any(map(_belongs, names))
    return False


@contextlib.contextmanager
def open_image_set(path, what):
    """(images sorted by name, the file of labels or None), readable until the context ends."""
    if Path(path).is_dir():
        yield _sort_out(_in_folder(Path(path), what), what)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (*DAMAGE, MemoryError) as error:
        raise ConversionFailure("invalid-data", f"The {what} data is a damaged zip archive: {error}") from error
    with archive:
        yield _sort_out(_in_archive(archive, what), what)


def _sort_out(found, what):
    seen, images, labels = set(), [], []
    budget = _Budget(what)
    for count, (name, size, read) in enumerate(found, 1):
        if count > MAXIMUM_FILES:
            raise _unsafe(what, name, f"is entry number {count}; {MAXIMUM_FILES} are allowed")
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise _unsafe(what, name, "leaves the archive")
        if "__MACOSX" in path.parts or path.name.startswith(".") or path.name.lower() in LITTER:
            continue
        if name in seen:
            raise _unsafe(what, name, "is there twice")
        seen.add(name)
        file = SetFile(name, size, lambda name=name, read=read: budget.read(name, read))
        if path.suffix.lower() in EXTENSIONS:
            images.append(file)
        elif path.name in LABEL_FILES:
            labels.append(file)
        else:
            kinds = ", ".join(extension[1:] for extension in EXTENSIONS)
            raise ConversionFailure(
                "invalid-data",
                f"The {what} data holds {name!r}, which is neither an image ({kinds}) nor {' or '.join(LABEL_FILES)}.",
            )
    if not images:
        raise ConversionFailure("invalid-data", f"The {what} data holds no image.")
    if len(labels) > 1:
        names = " and ".join(repr(file.name) for file in labels)
        raise ConversionFailure("invalid-data", f"The {what} data has its labels twice, in {names}.")
    return sorted(images, key=lambda file: file.name), labels[0] if labels else None


class _Budget:
    """Bytes that may still be read; sizes in headers are not believed."""

    def __init__(self, what):
        self._what, self._left = what, MAXIMUM_BYTES

    def read(self, name, read):
        try:
            content = read(MAXIMUM_FILE_BYTES + 1)
        except DAMAGE as error:
            reason = f"cannot be read: {error or type(error).__name__}"
            raise ConversionFailure("invalid-data", f"The {self._what} data's file {name!r} {reason}") from error
        self._left -= len(content)
        if len(content) > MAXIMUM_FILE_BYTES:
            raise _unsafe(self._what, name, f"has more than {MAXIMUM_FILE_BYTES} bytes")
        if self._left < 0:
            raise _unsafe(self._what, name, f"makes it larger than {MAXIMUM_BYTES} bytes")
        return content


def _in_archive(archive, what):
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _unsafe(what, info.filename, "is neither a file nor a folder")
        if not info.is_dir():
            yield info.filename, info.file_size, lambda limit, info=info: _read(archive.open(info), limit)


def _in_folder(folder, what):
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise _unsafe(what, relative, "is neither a file nor a folder")
            yield relative, status.st_size, lambda limit, path=path: _read(open(path, "rb"), limit)


def _read(stream, limit):
    with stream:
        return stream.read(limit)


def _belongs(name):
    return name.endswith(EXTENSIONS) or PurePosixPath(name).name in LABEL_FILES


def _unsafe(what, name, why):
    return ConversionFailure("unsafe-archive", f"The {what} data's entry {name!r} {why}.")
