"""What a source is called by: the SHA-256 of its bytes, as src/content-hash.ts has it."""

import hashlib


def content_hash(path):
    """Of a file's bytes; of a folder, of each file's path in it, size and bytes, sorted by path."""
    digest = hashlib.sha256()
    if not path.is_dir():
        _add(digest, path)
        return digest.hexdigest()
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file() and not file.is_symlink()}
    # As JavaScript sorts.
    for name in sorted(files, key=lambda each: each.encode("utf-16-be")):
        digest.update(f"{name}\0{files[name].stat().st_size}\0".encode())
        _add(digest, files[name])
    return digest.hexdigest()


def _add(digest, path):
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
