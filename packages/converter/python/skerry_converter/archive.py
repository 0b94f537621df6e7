"""Unpacks zip and tar archives that nobody vouches for: models, and what comes with them.

What headers say is checked before anything is written, and nothing that they say is believed: the bytes are counted while
they are unpacked. Zip archives tell everything first, tar archives an entry at a time.
"""

import gzip
import shutil
import zipfile

from skerry_converter.archive_limits import CHUNK, Budget, CountingReader, safe_path, unsafe_entry
from skerry_converter.archive_tar import tar_entries
from skerry_converter.archive_zip import zip_entries
from skerry_converter.protocol import ConversionFailure, last_words, limit_of

_GZIP, _TAR, _TAR_AT = b"\x1f\x8b", b"ustar", 257


def unpack(archive, target):
    """Unpacks into the new folder `target`; after a failure it is gone again.

    @raises ConversionFailure `unsafe-archive` for entries that are refused, `not-a-model` for what cannot be read
    """
    target.mkdir()
    try:
        with open(archive, "rb") as file:
            _unpack(file, archive, target)
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)
        # The readers of zip and tar files, on damaged ones, raise almost anything.
        if not isinstance(error, Exception) or isinstance(error, ConversionFailure) or limit_of(error):
            raise
        raise ConversionFailure("not-a-model", f"The archive is damaged: {last_words(error)}") from error


def find_in(folder, name):
    """The folder nearest to the top that holds a file of this name, or None."""
    found = sorted(folder.rglob(name), key=lambda path: (len(path.parts), str(path)))
    return next((path.parent for path in found if path.is_file()), None)


def is_archive(path):
    with open(path, "rb") as file:
        head = file.read(_TAR_AT + len(_TAR))
    return head[:2] == _GZIP or head[_TAR_AT:] == _TAR or zipfile.is_zipfile(path)


def _unpack(file, archive, target):
    head = file.read(_TAR_AT + len(_TAR))
    file.seek(0)
    budget = Budget(archive.stat().st_size)
    if head[:2] == _GZIP:
        with gzip.open(file) as unzipped:
            _write(target, tar_entries(CountingReader(unzipped, budget)), budget)
    elif head[_TAR_AT:] == _TAR:
        _write(target, tar_entries(CountingReader(file, budget)), budget)
    elif zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as opened:
            _write(target, zip_entries(opened, file, budget), budget)
    else:
        raise ConversionFailure("not-a-model", "The file is no zip, tar or tar.gz archive.")


def _write(target, entries, budget):
    """`entries`: (name, function that opens the content, or None for a folder)."""
    kinds = {}
    for name, open_entry in entries:
        budget.count_entry(name)
        relative = safe_path(name)
        _refuse_twice(kinds, relative, name, open_entry is None)
        path = target / relative
        if open_entry is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_entry() as source, open(path, "xb") as copy:
            while chunk := source.read(CHUNK):
                budget.count_bytes(name, len(chunk))
                copy.write(chunk)


def _refuse_twice(kinds, relative, name, is_folder):
    """`kinds`: path to whether it is a folder. Folders may be named often; a file once, and nothing inside of it."""
    for parent in relative.parents:
        if not kinds.setdefault(parent, True):
            raise unsafe_entry(name, f"is inside of {str(parent)!r}, which is a file")
    if relative in kinds and not (is_folder and kinds[relative]):
        raise unsafe_entry(name, "comes twice")
    kinds[relative] = is_folder
