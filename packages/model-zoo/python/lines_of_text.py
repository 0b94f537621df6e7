"""Real lines of text, as a task for models of text: is it a line of Python or of prose?"""

import importlib.metadata
import random
from pathlib import Path

import skimage

SEED = 1
SHORTEST, LONGEST = 24, 72


def lines(part, count):
    """(lines, labels: 1 for Python), half of each, shuffled. `train` and `held-out` share no file and no line."""
    package = Path(skimage.__file__).parent
    code_files = sorted(path for path in package.rglob("*.py") if "tests" not in path.parts)
    code = _pick(code_files, part, count // 2, _is_code)
    prose = _pick(_descriptions(), part, count - count // 2, _is_prose)
    together = [(line, 1) for line in code] + [(line, 0) for line in prose]
    random.Random(f"{SEED}{part}").shuffle(together)
    return [line for line, _ in together], [label for _, label in together]


def _descriptions():
    """Licenses and descriptions that installed packages carry, one file a package."""
    found = []
    for distribution in importlib.metadata.distributions():
        found += [Path(distribution.locate_file(file)) for file in distribution.files or [] if file.name == "METADATA"]
    return sorted(found)


def _pick(files, part, count, belongs):
    mine = [file for index, file in enumerate(files) if (index % 2 == 0) == (part == "train")]
    candidates = set()
    for file in mine:
        stripped = map(str.rstrip, file.read_text("utf-8", "replace").splitlines())
        candidates |= {line for line in stripped if belongs(line)}
    if part != "train":
        candidates -= set(_pick(files, "train", 10**9, belongs))
    chosen = sorted(candidates)
    random.Random(f"{SEED}{part}").shuffle(chosen)
    return chosen[:count]


def _is_code(line):
    signs = ("=", "(", "import ", "return")
    return SHORTEST <= len(line) <= LONGEST and line.isascii() and any(sign in line for sign in signs)


def _is_prose(line):
    words = line.split()
    plain = sum(word.strip(".,;:()'\"").isalpha() for word in words)
    return SHORTEST <= len(line) <= LONGEST and line.isascii() and len(words) >= 5 and plain >= 0.9 * len(words)
