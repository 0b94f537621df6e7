"""Writes archives that do harm, or try to, when they are unpacked. Arguments: an empty folder.

Each is called what it is: <expected code>--<what>.<ending>. What gets out would be called skerry-hostile-*.
"""

import gzip
import io
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

OUT = Path(sys.argv[1])
UNSAFE, DAMAGED = "unsafe-archive", "not-a-model"
MEGABYTE = 1 << 20


def zip_file(code, what, write):
    with zipfile.ZipFile(OUT / f"{code}--{what}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/saved_model.pb", b"model")
        write(archive)


def named(name):
    return lambda archive: archive.writestr(name, b"outside")


def entry_of_kind(mode):
    def write(archive):
        info = zipfile.ZipInfo("model/assets/x")
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")

    return write


zip_file(UNSAFE, "parent", named("../skerry-hostile-x"))
zip_file(UNSAFE, "parent-inside", named("model/../../skerry-hostile-x"))
zip_file(UNSAFE, "absolute", named("/tmp/skerry-hostile-x"))
zip_file(UNSAFE, "backslash", named("..\\skerry-hostile-x"))
zip_file(UNSAFE, "drive", named("C:skerry-hostile-x"))
zip_file(UNSAFE, "control-character", named("model/a\nb"))
zip_file(UNSAFE, "deep", named("a/" * 40 + "b"))
zip_file(UNSAFE, "long-name", named("a" * 300))
zip_file(UNSAFE, "symbolic-link", entry_of_kind(0o120777))
zip_file(UNSAFE, "device", entry_of_kind(0o020666))
zip_file(UNSAFE, "twice", named("model/saved_model.pb"))
zip_file(UNSAFE, "twice-by-another-name", named("model/./saved_model.pb"))
zip_file(UNSAFE, "inside-a-file", named("model/saved_model.pb/x"))
zip_file(UNSAFE, "bomb", lambda archive: archive.writestr("model/zeros", bytes(100 * MEGABYTE)))


def write_many(archive):
    for index in range(20):
        archive.writestr(f"model/zeros{index}", bytes(10 * MEGABYTE))


zip_file(UNSAFE, "bomb-of-many", write_many)
with zipfile.ZipFile(OUT / f"{UNSAFE}--entries.zip", "w") as archive:
    for index in range(20_001):
        archive.writestr(f"{index}", b"")


def patched(code, what, change):
    """A whole archive, then bytes of it changed."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/saved_model.pb", b"model" * 100)
        archive.writestr("model/variables/x", b"weights" * 100)
    raw = bytearray(content.getvalue())
    (OUT / f"{code}--{what}.zip").write_bytes(change(raw) or raw)


def central(raw, number):
    at = -1
    for _ in range(number + 1):
        at = raw.index(b"PK\1\2", at + 1)
    return at


def encrypt(raw):
    for at in (raw.index(b"PK\3\4") + 6, central(raw, 0) + 8):
        raw[at] |= 1


def overlap(raw):
    # The second entry lies inside of the first.
    first = central(raw, 0)
    struct.pack_into("<I", raw, central(raw, 1) + 42, struct.unpack_from("<I", raw, first + 42)[0])


def say_little(raw):
    struct.pack_into("<I", raw, central(raw, 0) + 24, 5)


def say_much(raw):
    struct.pack_into("<I", raw, central(raw, 0) + 24, 0xFFFFFF00)


def use_method(raw):
    for at in (raw.index(b"PK\3\4") + 8, central(raw, 0) + 10):
        struct.pack_into("<H", raw, at, 14)


def add_nul(raw):
    at = central(raw, 0) + 46
    raw[at + 5 : at + 6] = b"\0"


patched(UNSAFE, "encrypted", encrypt)
patched(UNSAFE, "overlapping", overlap)
patched(UNSAFE, "says-more-than-it-has", say_much)
patched(DAMAGED, "says-less-than-it-has", say_little)
patched(DAMAGED, "method", use_method)
patched(UNSAFE, "nul-in-name", add_nul)
patched(DAMAGED, "truncated", lambda raw: raw[:-30])


def tar_file(code, what, write, kind="gz", archive_format=tarfile.PAX_FORMAT):
    ending = "tar.gz" if kind else "tar"
    with tarfile.open(OUT / f"{code}--{what}.{ending}", f"w:{kind}", format=archive_format) as archive:
        add(archive, "model/saved_model.pb", b"model")
        write(archive)


def add(archive, name, content=b"", kind=tarfile.REGTYPE, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, len(content)
    archive.addfile(member, io.BytesIO(content))


tar_file(UNSAFE, "parent", lambda archive: add(archive, "../skerry-hostile-x", b"outside"))
tar_file(UNSAFE, "parent-plain", lambda archive: add(archive, "../skerry-hostile-x", b"outside"), kind="")
tar_file(UNSAFE, "absolute", lambda archive: add(archive, "/tmp/skerry-hostile-x", b"outside"))
tar_file(UNSAFE, "symbolic-link", lambda archive: add(archive, "model/x", kind=tarfile.SYMTYPE, link="/etc/passwd"))


def write_through_link(archive):
    add(archive, "model/assets", kind=tarfile.SYMTYPE, link="/tmp")
    add(archive, "model/assets/skerry-hostile-x", b"outside")


tar_file(UNSAFE, "through-a-link", write_through_link)
tar_file(UNSAFE, "hard-link", lambda archive: add(archive, "model/x", kind=tarfile.LNKTYPE, link="/etc/passwd"))
tar_file(UNSAFE, "device", lambda archive: add(archive, "model/x", kind=tarfile.CHRTYPE))
tar_file(UNSAFE, "fifo", lambda archive: add(archive, "model/x", kind=tarfile.FIFOTYPE))
tar_file(UNSAFE, "twice", lambda archive: add(archive, "model/saved_model.pb", b"other"))
tar_file(UNSAFE, "inside-a-file", lambda archive: add(archive, "model/saved_model.pb/x", b"x"))
tar_file(UNSAFE, "bomb", lambda archive: add(archive, "model/zeros", bytes(100 * MEGABYTE)))


def write_sparse(archive):
    # GNU's form: eight gigabytes of nothing from one block.
    member = tarfile.TarInfo("model/sparse")
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[156:157] = b"S"
    block[386:410] = b"%011o\0%011o\0" % (0, 0)
    block[483:495] = b"%011o\0" % (8 * 1024 * MEGABYTE - 1)
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))
    archive.fileobj.write(block)
    archive.offset += len(block)


tar_file(UNSAFE, "sparse", write_sparse, archive_format=tarfile.GNU_FORMAT)


def write_header_bomb(archive):
    add(archive, "././@LongLink", bytes(80 * MEGABYTE), kind=tarfile.GNUTYPE_LONGNAME)
    add(archive, "model/x", b"x")


tar_file(UNSAFE, "header-bomb", write_header_bomb, archive_format=tarfile.GNU_FORMAT)
whole = (OUT / f"{UNSAFE}--twice.tar.gz").read_bytes()
(OUT / f"{DAMAGED}--truncated.tar.gz").write_bytes(whole[: len(whole) // 2])
(OUT / f"{DAMAGED}--text.tar.gz").write_bytes(gzip.compress(b"no archive " * 100))
(OUT / f"{DAMAGED}--empty.zip").write_bytes(b"PK\5\6" + bytes(18))
