"""Unpacks a SavedModel from a zip or tar archive that nobody vouches for."""

import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from skerry_converter.protocol import ConversionFailure

MAXIMUM_BYTES = 8 << 30
MAXIMUM_FILES = 20_000
CHUNK = 1 << 20


def unpack_saved_model(archive, target):
    """Unpacks into the new folder `target` and returns the folder that holds saved_model.pb."""
    target.mkdir()
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _unpack(target, [_zip_entry(opened, info) for info in opened.infolist()])
        else:
            with tarfile.open(archive) as opened:
                _unpack(target, (_tar_entry(opened, member) for member in opened))
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise ConversionFailure("not-a-model", f"The archive is damaged: {error}") from error
    found = sorted(target.rglob("saved_model.pb"), key=lambda path: len(path.parts))
    if not found:
        raise ConversionFailure("not-a-model", "The archive holds no saved_model.pb.")
    return found[0].parent


def _zip_entry(opened, info):
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _unsafe(info.filename, "is neither a file nor a folder")
    return info.filename, None if info.is_dir() else lambda: opened.open(info)


def _tar_entry(opened, member):
    if not (member.isreg() or member.isdir()):
        raise _unsafe(member.name, "is neither a file nor a folder")
    return member.name, None if member.isdir() else lambda: opened.extractfile(member)


def _unpack(target, entries):
    left = MAXIMUM_BYTES
    for count, (name, open_entry) in enumerate(entries, 1):
        if count > MAXIMUM_FILES:
            raise _unsafe(name, f"is entry number {count}; {MAXIMUM_FILES} are allowed")
        path = target / _inside(name)
        if open_entry is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        # "x": a name that comes twice is refused instead of written over. Sizes in headers are not believed.
        with open_entry() as source, open(path, "xb") as copy:
            while chunk := source.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise _unsafe(name, f"makes it larger than {MAXIMUM_BYTES} bytes")
                copy.write(chunk)


def _inside(name):
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
        raise _unsafe(name, "leaves the archive")
    return Path(*path.parts)


def _unsafe(name, why):
    return ConversionFailure("unsafe-archive", f"The archive's entry {name!r} {why}.")
