"""Unpacks damaged archives and walks damaged HDF5 files. Arguments: a JSON array of paths, the number of damages of each, a seed.
Prints {outcomes: {code: count}, faults: [...], peakBytes}.
"""

import json
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

import h5py  # noqa: E402
from skerry_converter.archive import unpack  # noqa: E402
from skerry_converter.hdf5 import check_hdf5  # noqa: E402
from skerry_converter.protocol import ConversionFailure  # noqa: E402

paths, count, seed = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
randomly = random.Random(seed)
SECONDS_EACH = 5
EXTREMES = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF]


def damage(content):
    broken = bytearray(content)
    kind = randomly.randrange(5)
    for _ in range(randomly.randint(1, 6)):
        # Headers stand at both ends.
        span = randomly.choice([64, 600, 3000, len(broken)])
        at = randomly.randrange(min(span, len(broken)))
        at = randomly.choice([at, len(broken) - 1 - at])
        if kind == 0:
            broken[at] ^= 1 << randomly.randrange(8)
        elif kind == 1:
            size = randomly.choice([1, 2, 4, 8])
            broken[at : at + size] = (randomly.choice(EXTREMES) & (256**size - 1)).to_bytes(size, "little")
        elif kind == 2:
            source = randomly.randrange(len(broken))
            size = randomly.randint(1, 64)
            broken[at : at + size] = broken[source : source + size]
        elif kind == 3:
            del broken[at : at + randomly.randint(1, 200)]
        else:
            return bytes(broken[:at])
        if not broken:
            break
    return bytes(broken)


def attempt(path, folder):
    if path.suffix == ".h5":
        try:
            with h5py.File(path, "r") as file:
                check_hdf5(file, path.stat().st_size)
        except OSError:
            return "not-a-model"
        return "read"
    unpack(path, folder / "target")
    return "read"


outcomes, faults = {}, []
signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("it hangs")))
with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch) / "inner"
    folder.mkdir()
    for path in map(Path, paths):
        whole = path.read_bytes()
        for index in range(count):
            broken = folder / f"broken{path.suffix}"
            broken.write_bytes(damage(whole))
            signal.alarm(SECONDS_EACH)
            try:
                outcome = attempt(broken, folder)
            except ConversionFailure as failure:
                outcome = failure.code
                if (folder / "target").exists():
                    faults.append(f"{path.name} {index}: something is left behind")
            except BaseException:
                outcome = "fault"
                faults.append(f"{path.name} {index}: {traceback.format_exc()[-1500:]}")
            finally:
                signal.alarm(0)
            for parent, _, names in os.walk(scratch):
                inside = Path(parent).is_relative_to(folder / "target")
                faults += [f"{path.name} {index}: {name} is outside" for name in names if not inside and name != broken.name]
            for left in sorted((folder / "target").rglob("*"), reverse=True) if (folder / "target").exists() else []:
                left.rmdir() if left.is_dir() else left.unlink()
            if (folder / "target").exists():
                (folder / "target").rmdir()
            broken.unlink()
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
print(json.dumps({"outcomes": outcomes, "faults": faults[:10], "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
