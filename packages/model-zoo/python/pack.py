"""Packs a folder. Arguments: zip, tar or tar.gz; the folder; the archive."""

import sys
from pathlib import Path

from archives import write_tar, write_zip

kind, folder, archive = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
if kind == "zip":
    write_zip(folder, archive)
else:
    write_tar(folder, archive, compress=kind == "tar.gz")
