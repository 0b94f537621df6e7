"""Archives with equal bytes for equal content."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path


def files_of(folder):
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return [(path.relative_to(Path(folder).parent).as_posix(), path) for path in files]


def write_zip(folder, archive_path):
    with zipfile.ZipFile(archive_path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files_of(folder):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())


def write_tar(folder, archive_path, compress=False):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, path in files_of(folder):
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(entry, file)
    packed = gzip.compress(content.getvalue(), mtime=0) if compress else content.getvalue()
    Path(archive_path).write_bytes(packed)
