"""The classes of an image set: from a file of labels in it, or from the folders that the images lie in."""

import csv
import io
import json
from pathlib import PurePosixPath

import numpy as np

from skerry_converter.protocol import ConversionFailure


def read_labels(names, label_file, classes, what):
    """One class number per image name, int64, or None where nothing tells.

    `label_file` is labels.json ({path: class number or name}) or labels.csv (path,class), paths as in the set or
    relative to that file; `classes` the model's own names of its classes in order, or None.
    """
    if label_file is not None:
        return _from_file(names, label_file, classes, what)
    return _from_folders(names, classes, what)


def _from_file(names, label_file, classes, what):
    table = _table(label_file, what)
    base = PurePosixPath(label_file.name).parent
    # The paths in the file win over those relative to it, in case both are there.
    found = {str(base / path): value for path, value in table.items()} | table
    missing = next((name for name in names if name not in found), None)
    if missing is not None:
        raise _invalid(what, f"{label_file.name!r} has no label for {missing!r}")
    values = [found[name] for name in names]
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        if min(values) < 0 or (classes is not None and max(values) >= len(classes)):
            raise _invalid(what, f"{label_file.name!r} has class numbers from {min(values)} to {max(values)}")
        return np.array(values, np.int64)
    if not all(isinstance(value, str) for value in values):
        raise _invalid(what, f"the labels in {label_file.name!r} are neither all whole numbers nor all names")
    return _numbered(values, classes, what)


def _table(label_file, what):
    try:
        text = label_file.read().decode("utf-8-sig")
        if label_file.name.endswith(".json"):
            table = json.loads(text)
            if not isinstance(table, dict):
                raise ValueError("it is no object of paths and classes")
            return table
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
        if any(len(row) != 2 for row in rows):
            raise ValueError("a line does not have two fields, path and class")
        if rows and [field.strip().lower() for field in rows[0]] in (["path", "class"], ["path", "label"]):
            rows = rows[1:]
        pairs = {path.strip(): value.strip() for path, value in rows}
        numeric = all(value.isascii() and value.isdigit() for value in pairs.values())
        return {path: int(value) if numeric else value for path, value in pairs.items()}
    # json gives up on deep nesting with a RecursionError.
    except (ValueError, csv.Error, RecursionError) as error:
        raise _invalid(what, f"{label_file.name!r} cannot be read: {error}") from error


def _from_folders(names, classes, what):
    folders = [PurePosixPath(name).parent.parts for name in names]
    shared = 0
    while all(len(parts) > shared and parts[shared] == folders[0][shared] for parts in folders):
        shared += 1
    if all(len(parts) > shared for parts in folders):
        return _numbered([parts[shared] for parts in folders], classes, what)
    # All in one folder: that is a class only where it is known to be one.
    only = folders[0][shared - 1] if shared else None
    if classes is not None and only in classes and all(len(parts) == shared for parts in folders):
        return _numbered([only] * len(names), classes, what)
    return None


def _numbered(values, classes, what):
    if classes is not None:
        places = {name: place for place, name in enumerate(classes)}
        unknown = next((value for value in values if value not in places), None)
        if unknown is not None:
            raise _invalid(what, f"{unknown!r} is none of the model's {len(classes)} labels")
        return np.array([places[value] for value in values], np.int64)
    ordered = sorted(set(values))
    digits = [name for name in ordered if name.isascii() and name.isdigit()]
    if digits and any(int(name) != place for place, name in enumerate(ordered) if name in digits):
        raise _invalid(
            what,
            f"folders named {', '.join(ordered[:4])}, ... may mean class numbers or sorted names, which differ here: "
            "send a labels.json with the class number of each path, or the labels of the model",
        )
    places = {name: place for place, name in enumerate(ordered)}
    return np.array([places[value] for value in values], np.int64)


def _invalid(what, why):
    return ConversionFailure("invalid-data", f"The {what} data's labels cannot be used: {why}.")
