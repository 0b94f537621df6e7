"""The entries of a tar archive."""

import tarfile

from skerry_converter.archive_limits import unsafe_entry


def tar_entries(stream):
    """Yields (name, function that opens the content, or None for a folder). @raises tarfile.TarError"""
    with tarfile.open(fileobj=stream, mode="r:") as opened:
        for member in opened:
            # A sparse file is made of little and unpacks to much.
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise unsafe_entry(member.name, "is neither a plain file nor a folder")
            yield member.name, None if member.isdir() else lambda member=member: opened.extractfile(member)
            # Else each entry stays in memory.
            opened.members = []
