"""What an archive may hold."""

from pathlib import Path, PurePosixPath

from skerry_converter.protocol import ConversionFailure

MAXIMUM_BYTES = 8 << 30
MAXIMUM_FILES = 20_000
# Weights hardly shrink; deflate's own limit is 1030. Small archives may hold zeros.
MAXIMUM_RATIO = 100
RATIO_FLOOR_BYTES = 64 << 20
MAXIMUM_NAME = 1024
MAXIMUM_NAME_PART = 255
MAXIMUM_DEPTH = 32
# Of a name or an extended header, which the reader of tar files takes into memory.
MAXIMUM_HEADER_BYTES = 1 << 20
CHUNK = 1 << 18


class Budget:
    def __init__(self, archive_bytes):
        self.limit = min(MAXIMUM_BYTES, max(RATIO_FLOOR_BYTES, MAXIMUM_RATIO * archive_bytes))
        self._bytes, self._entries = 0, 0

    def count_entry(self, name):
        self._entries += 1
        if self._entries > MAXIMUM_FILES:
            raise unsafe_entry(name, f"is entry number {self._entries}; {MAXIMUM_FILES} are allowed")

    def count_bytes(self, name, count):
        self._bytes += count
        if self._bytes > self.limit:
            raise unsafe_entry(name, f"makes what is unpacked larger than the {self.limit} bytes that are allowed")


class CountingReader:
    """A stream that is read forward, whose reads are bounded one by one and in all: headers cannot ask for more than they
    are worth, and a compressed stream is unpacked once.
    """

    def __init__(self, stream, budget):
        self._stream, self._position = stream, 0
        # Headers and padding come on top of the content.
        self._left = budget.limit + (MAXIMUM_FILES << 12)
        # tarfile steps back by one, to see whether the byte before the next header is there.
        self._last, self._stepped_back = b"", False

    def read(self, size):
        if size > MAXIMUM_HEADER_BYTES:
            raise ConversionFailure("unsafe-archive", f"A header of the archive has {size} bytes.")
        if size <= 0:
            return b""
        again = self._last if self._stepped_back else b""
        self._stepped_back = False
        content = again + self._stream.read(size - len(again))
        self._position += len(content)
        self._left -= len(content)
        if self._left < 0:
            raise ConversionFailure("unsafe-archive", "The archive unpacks to more than is allowed.")
        self._last = content[-1:] or self._last
        return content

    def seek(self, offset):
        if offset == self._position - 1 and self._last and not self._stepped_back:
            self._position, self._stepped_back = offset, True
        if offset < self._position:
            raise ValueError("The archive's parts overlap.")
        while offset > self._position and self.read(min(CHUNK, offset - self._position)):
            continue

    def tell(self):
        return self._position


def safe_path(name):
    """The entry's path inside of the archive. @raises ConversionFailure for one that leads out of it"""
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts
    if outside or any(character in "\\:" or character < " " or character == "\x7f" for character in name):
        raise unsafe_entry(name, "leaves the archive")
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        raise unsafe_entry(name, "has a name that is no text") from None
    longest = max((len(part.encode()) for part in path.parts), default=0)
    if len(encoded) > MAXIMUM_NAME or longest > MAXIMUM_NAME_PART or len(path.parts) > MAXIMUM_DEPTH:
        raise unsafe_entry(name[:80], "has too long a name")
    return Path(*path.parts)


def unsafe_entry(name, why):
    return ConversionFailure("unsafe-archive", f"The archive's entry {name!r} {why}.")
