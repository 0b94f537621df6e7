"""What a variant says about itself, in the file: TFLite's own metadata, which other tools read, and an entry of ours.

TFLite's is a FlatBuffer of its own (metadata_schema.fbs of TFLite Support, parser version 1.0.0) in the entry
TFLITE_METADATA; the files that it names, here the labels, are a zip archive behind the model. Equal models give equal
bytes.
"""

import io
import json
import zipfile

from skerry_converter.tflite_file import TfliteFile, with_metadata

STANDARD, OWN = "TFLITE_METADATA", "SKERRY"
LABELS = "labels.txt"
# What a zip archive can say at the earliest.
NO_TIME = (1980, 1, 1, 0, 0, 0)
PARSER_VERSION = "1.0.0"
TENSOR_AXIS_LABELS = 2
IMAGE_PROPERTIES, NORMALIZATION_OPTIONS = 2, 1
COLOR_SPACES = {"rgb": 1, "gray": 2}  # others are unknown to the schema: 0


def describe(content, recipe, first_output, source_sha256, versions, preprocessing=None, labels=None):
    """The file with its metadata. `preprocessing` and `labels` as the request has them; the labels are `first_output`'s."""
    own = {"recipe": recipe["name"], "sourceSha256": source_sha256, "versions": versions}
    if recipe.get("floatLayers"):
        own["floatLayers"] = list(recipe["floatLayers"])
    entries = {
        STANDARD: _standard(TfliteFile(content), recipe, first_output, source_sha256, preprocessing, labels),
        OWN: json.dumps(own, sort_keys=True, separators=(",", ":")).encode(),
    }
    content = with_metadata(content, entries)
    return content if labels is None else _with_file(content, LABELS, "".join(f"{each}\n" for each in labels))


def _with_file(content, name, text):
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        entry = zipfile.ZipInfo(name, NO_TIME)
        entry.create_system = 3
        archive.writestr(entry, text)
    return buffer.getvalue()


def _standard(file, recipe, first_output, source_sha256, preprocessing, labels):
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    inputs, outputs = file.signature()
    images = _image_input(preprocessing, inputs)
    described_inputs = [
        _tensor(builder, name, normalization=preprocessing if name == images else None)
        for name in _names_in_order(file.inputs, inputs)
    ]
    described_outputs = [
        _tensor(builder, name, has_labels=labels is not None and name == first_output)
        for name in _names_in_order(file.outputs, outputs)
    ]
    subgraph = _table(
        builder, {2: _offsets(builder, described_inputs), 3: _offsets(builder, described_outputs)}
    )
    strings = {
        0: builder.CreateString(f"model {source_sha256[:12]}"),
        1: builder.CreateString(f"Converted by Skerry with the recipe {recipe['name']}."),
        7: builder.CreateString(PARSER_VERSION),
    }
    root = _table(builder, {**strings, 3: _offsets(builder, [subgraph])})
    builder.Finish(root, b"M001")
    return bytes(builder.Output())


def _names_in_order(tensors, names):
    """The metadata's order is the subgraph's; a tensor that is no part of the signature goes by its own name."""
    by_index = {index: name for name, index in names.items()}
    return [by_index.get(tensor.index, tensor.name) for tensor in tensors]


def _image_input(preprocessing, inputs):
    if preprocessing is None:
        return None
    return preprocessing.get("input") or (next(iter(inputs)) if len(inputs) == 1 else None)


def _tensor(builder, name, normalization=None, has_labels=False):
    fields = {0: builder.CreateString(name)}
    if normalization is not None:
        color_space = COLOR_SPACES.get(normalization["colors"], 0)
        image = _table(builder, {}, {0: ("Int8", color_space)})
        fields[3] = _table(builder, {1: image}, {0: ("Uint8", IMAGE_PROPERTIES)})
        mean, std = _mean_and_std(normalization["scale"], normalization["offset"])
        if mean is not None:
            options = _table(builder, {0: _floats(builder, mean), 1: _floats(builder, std)})
            unit = _table(builder, {1: options}, {0: ("Uint8", NORMALIZATION_OPTIONS)})
            fields[4] = _offsets(builder, [unit])
    if has_labels:
        label_file = {0: builder.CreateString(LABELS), 1: builder.CreateString("Names of the classes.")}
        label_file = _table(builder, label_file, {2: ("Int8", TENSOR_AXIS_LABELS)})
        fields[6] = _offsets(builder, [label_file])
    return _table(builder, fields)


def _mean_and_std(scale, offset):
    """value = pixel * scale + offset as (pixel - mean) / std; (None, None) where a scale of 0 leaves no such numbers."""
    scales = scale if isinstance(scale, list) else [scale]
    offsets = offset if isinstance(offset, list) else [offset]
    channels = max(len(scales), len(offsets))
    scales, offsets = (values * channels if len(values) == 1 else values for values in (scales, offsets))
    if any(each == 0 for each in scales):
        return None, None
    # 0.0 - x: never a negative zero.
    means = [0.0 - shift / each for shift, each in zip(offsets, scales, strict=True)]
    return means, [1 / each for each in scales]


def _table(builder, offsets, scalars={}):
    slots = [*offsets, *scalars]
    builder.StartObject(max(slots, default=-1) + 1)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, (kind, value) in scalars.items():
        getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
    return builder.EndObject()


def _offsets(builder, items):
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return builder.EndVector()


def _floats(builder, values):
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return builder.EndVector()
