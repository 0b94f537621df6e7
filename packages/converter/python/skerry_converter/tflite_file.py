"""A .tflite file (FlatBuffer, schema version 3): what converting has to know of one, and how one is changed.

A FlatBuffer's references are relative and lead forward. So nothing in a file has to move for a new root: a new beginning
is written, which refers to the old content behind it. Weights keep their alignment, and nothing is packed again.
"""

import struct
from dataclasses import dataclass

IDENTIFIER = b"TFL3"
# Weights are aligned to 16 bytes; the old content moves by a multiple of this.
ALIGNMENT = 64
FLEX = "Flex"
READ_VARIABLE, ASSIGN_VARIABLE = 143, 144
FLOAT32, INT8 = 0, 9
# Builtin code: version with one scale for the weights, and with one for each channel (op_version.cc).
HYBRID_VERSIONS = {3: (2, 5), 4: (4, 6), 9: (9, 12)}  # CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED

# Numbers of the fields of the table Model.
VERSION, OPERATOR_CODES, BUFFERS, METADATA, SIGNATURES = 0, 1, 4, 6, 7


@dataclass(frozen=True)
class FileTensor:
    index: int
    name: str
    dtype: int  # TensorType of the schema
    shape: list
    open: bool  # whether a dimension is left open


class TfliteFile:
    def __init__(self, content):
        from tensorflow.lite.python import schema_py_generated as schema

        self._model = schema.Model.GetRootAs(content)
        main = self._model.Subgraphs(0)
        self.inputs = [_tensor(main, main.Inputs(at)) for at in range(main.InputsLength())]
        self.outputs = [_tensor(main, main.Outputs(at)) for at in range(main.OutputsLength())]

    def signature(self):
        """(inputs, outputs), each {name: index of the tensor}, of the file's only signature; None where it has none."""
        if self._model.SignatureDefsLength() != 1:
            return None
        signature = self._model.SignatureDefs(0)
        ins = [signature.Inputs(at) for at in range(signature.InputsLength())]
        outs = [signature.Outputs(at) for at in range(signature.OutputsLength())]
        return tuple({each.Name().decode(): each.TensorIndex() for each in side} for side in (ins, outs))

    def flex_operators(self):
        """Names of TensorFlow's own operators in it, which no runtime here has."""
        codes = [self._model.OperatorCodes(at).CustomCode() for at in range(self._model.OperatorCodesLength())]
        return sorted({code.decode() for code in codes if code is not None and code.decode().startswith(FLEX)})

    def weight_elements(self):
        """Elements of all constants; a buffer that several tensors share counts once."""
        elements = {}
        for at in range(self._model.SubgraphsLength()):
            subgraph = self._model.Subgraphs(at)
            for index in range(subgraph.TensorsLength()):
                tensor = subgraph.Tensors(index)
                buffer = self._model.Buffers(tensor.Buffer())
                if buffer.DataLength() > 0 or buffer.Offset() > 1:
                    elements[tensor.Buffer()] = _product(_shape(tensor))
        return sum(elements.values())

    def hybrid_versions(self):
        """{number of the operator code: version} that float operators with int8 weights need, by TFLite's own rules."""
        versions = {}
        for at in range(self._model.SubgraphsLength()):
            subgraph = self._model.Subgraphs(at)
            for index in range(subgraph.OperatorsLength()):
                operator = subgraph.Operators(index)
                code = operator.OpcodeIndex()
                rule = HYBRID_VERSIONS.get(_builtin(self._model.OperatorCodes(code)))
                if rule is None or operator.InputsLength() < 2:
                    continue
                data, weights = subgraph.Tensors(operator.Inputs(0)), subgraph.Tensors(operator.Inputs(1))
                if data.Type() != FLOAT32 or weights.Type() != INT8:
                    continue
                quantization = weights.Quantization()
                per_channel = quantization is not None and quantization.ScaleLength() > 1
                needed = rule[1 if per_channel else 0]
                versions[code] = max(needed, versions.get(code, 1), self._model.OperatorCodes(code).Version())
        return versions

    def reads_unset_variables(self):
        """Whether it reads variables to which nothing in it ever gives a value."""
        used = set()
        for at in range(self._model.SubgraphsLength()):
            subgraph = self._model.Subgraphs(at)
            for index in range(subgraph.OperatorsLength()):
                used.add(_builtin(self._model.OperatorCodes(subgraph.Operators(index).OpcodeIndex())))
        return READ_VARIABLE in used and ASSIGN_VARIABLE not in used


def _builtin(code):
    return max(code.BuiltinCode(), code.DeprecatedBuiltinCode())


def _tensor(subgraph, index):
    tensor = subgraph.Tensors(index)
    declared = [tensor.ShapeSignature(at) for at in range(tensor.ShapeSignatureLength())]
    return FileTensor(int(index), tensor.Name().decode(), tensor.Type(), _shape(tensor), -1 in declared)


def _shape(tensor):
    return [int(tensor.Shape(at)) for at in range(tensor.ShapeLength())]


def _product(shape):
    product = 1
    for size in shape:
        product *= size
    return product


def close_shapes(content):
    """The file with no dimension left open: each has the size that the file was made with."""
    from tensorflow.lite.python import schema_py_generated as schema

    changed = bytearray(content)
    model = schema.Model.GetRootAs(changed)
    for at in range(model.SubgraphsLength()):
        subgraph = model.Subgraphs(at)
        for index in range(subgraph.TensorsLength()):
            tensor = subgraph.Tensors(index)
            if tensor.ShapeSignatureLength() != tensor.ShapeLength():
                continue
            start = tensor._tab.Vector(tensor._tab.Offset(18))
            for place, size in enumerate(_shape(tensor)):
                struct.pack_into("<i", changed, start + 4 * place, size)
    return bytes(changed)


def read_metadata(content):
    """{name: bytes} of the file's metadata entries."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    entries = [model.Metadata(at) for at in range(model.MetadataLength())]
    return {each.Name().decode(): model.Buffers(each.Buffer()).DataAsNumpy().tobytes() for each in entries}


def with_signature(content, key, inputs, outputs):
    """The file with one signature, `inputs` and `outputs` being {name: index of the tensor} in its first subgraph."""

    def tensor_map(mapped):
        return [_table([("offset", _string(name)), ("uint32", index)]) for name, index in mapped.items()]

    signature = _table(
        [
            ("offset", _vector(tensor_map(inputs))),
            ("offset", _vector(tensor_map(outputs))),
            ("offset", _string(key)),
            None,
            ("uint32", 0),
        ]
    )
    return _with_root(content, {SIGNATURES: _vector([signature])})


def with_metadata(content, entries):
    """The file with `entries`, {name: bytes}, added to its metadata; one of the same name is replaced."""
    root = _Old(content)
    kept = [at for at in root.tables(METADATA) if root.string(at, 0) not in entries]
    buffers = root.tables(BUFFERS)
    added = [_table([("offset", _bytes(data))]) for data in entries.values()]
    named = [
        _table([("offset", _string(name)), ("uint32", len(buffers) + place)]) for place, name in enumerate(entries)
    ]
    return _with_root(
        content, {BUFFERS: _vector([*buffers, *added]), METADATA: _vector([*kept, *named])}
    )


def with_versions(content, versions):
    """The file with other versions of some operators, {number of the operator code: version}."""
    from tensorflow.lite.python import schema_py_generated as schema

    if not versions:
        return content
    model = schema.Model.GetRootAs(content)
    codes = _Old(content).tables(OPERATOR_CODES)
    for place, version in versions.items():
        code = model.OperatorCodes(place)
        # None of these is custom. The first field is a single byte, of which little-endian numbers have the low one first.
        codes[place] = _table(
            [("uint32", code.DeprecatedBuiltinCode()), None, ("uint32", version), ("uint32", code.BuiltinCode())]
        )
    return _with_root(content, {OPERATOR_CODES: _vector(codes)})


def with_inline_buffers(content):
    """The file with all weights within the FlatBuffer. Files can keep them behind it, at places that count from the file's
    start: that is for models of more than 2 GB, older runtimes do not know of it, and what moves the content loses them.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    buffers = _Old(content).tables(BUFFERS)
    places = {at: (model.Buffers(at).Offset(), model.Buffers(at).Size()) for at in range(len(buffers))}
    outside = {at: (start, size) for at, (start, size) in places.items() if start > 1}
    if not outside:
        return content
    for at, (start, size) in outside.items():
        buffers[at] = _table([("offset", _bytes(content[start : start + size]))])
    behind = min(start for start, _ in outside.values())
    return _with_root(content[:behind], {BUFFERS: _vector(buffers)})


class _Old:
    """The root of the content as it is; positions count from the content's start."""

    def __init__(self, content):
        self._content = content
        self.root = self._uint32(0)
        self._vtable = self.root - struct.unpack_from("<i", content, self.root)[0]
        self.slots = (struct.unpack_from("<H", content, self._vtable)[0] - 4) // 2

    def _uint32(self, at):
        return struct.unpack_from("<I", self._content, at)[0]

    def _field(self, table, slot):
        vtable = table - struct.unpack_from("<i", self._content, table)[0]
        size = struct.unpack_from("<H", self._content, vtable)[0]
        relative = struct.unpack_from("<H", self._content, vtable + 4 + 2 * slot)[0] if 6 + 2 * slot <= size else 0
        return table + relative if relative else None

    def scalar(self, slot):
        at = self._field(self.root, slot)
        return 0 if at is None else self._uint32(at)

    def target(self, slot):
        at = self._field(self.root, slot)
        return None if at is None else at + self._uint32(at)

    def tables(self, slot):
        start = self.target(slot)
        if start is None:
            return []
        places = [start + 4 + 4 * at for at in range(self._uint32(start))]
        return [place + self._uint32(place) for place in places]

    def string(self, table, slot):
        at = self._field(table, slot)
        start = at + self._uint32(at)
        return self._content[start + 4 : start + 4 + self._uint32(start)].decode()


# What a beginning is made of: functions that write themselves and return their position. An int is a position in the old
# content, to which references lead as well.


def _string(text):
    data = text.encode()
    return lambda out: out.place(struct.pack("<I", len(data)) + data + b"\0", 4)


def _bytes(data):
    # The bytes and not their length are aligned.
    return lambda out: out.place(struct.pack("<I", len(data)) + bytes(data), 16, ahead=4)


def _vector(items):
    def write(out):
        start = out.place(struct.pack("<I", len(items)) + bytes(4 * len(items)), 4)
        for at, item in enumerate(items):
            out.refer(start + 4 + 4 * at, item)
        return start

    return write


def _table(fields):
    """`fields` in the order of the schema: (offset, what) or (uint32, number), None for one that is left out."""

    def write(out):
        present = [field for field in fields if field is not None]
        entries, at = [], 4
        for field in fields:
            entries.append(0 if field is None else at)
            at += 0 if field is None else 4
        vtable = out.place(struct.pack(f"<HH{len(fields)}H", 4 + 2 * len(fields), at, *entries), 4)
        start = out.place(bytes(at), 4)
        out.put(start, "<i", start - vtable)
        for place, (kind, value) in enumerate(present):
            if kind == "uint32":
                out.put(start + 4 + 4 * place, "<I", value)
            else:
                out.refer(start + 4 + 4 * place, value)
        return start

    return write


class _Beginning:
    def __init__(self):
        self._bytes = bytearray(struct.pack("<I", 0) + IDENTIFIER)
        self._into_old = []

    def place(self, data, alignment, ahead=0):
        while (len(self._bytes) + ahead) % alignment:
            self._bytes.append(0)
        start = len(self._bytes)
        self._bytes += data
        return start

    def put(self, at, form, value):
        struct.pack_into(form, self._bytes, at, value)

    def refer(self, at, target):
        if isinstance(target, int):
            self._into_old.append((at, target))
        else:
            self.put(at, "<I", target(self) - at)

    def before(self, content):
        while len(self._bytes) % ALIGNMENT:
            self._bytes.append(0)
        for at, target in self._into_old:
            self.put(at, "<I", len(self._bytes) + target - at)
        return bytes(self._bytes) + bytes(content)


def _with_root(content, replaced):
    old = _Old(content)
    fields = []
    for slot in range(max(old.slots, max(replaced) + 1)):
        if slot == VERSION:
            fields.append(("uint32", old.scalar(VERSION)))
            continue
        target = replaced.get(slot, old.target(slot))
        fields.append(None if target is None else ("offset", target))
    beginning = _Beginning()
    beginning.refer(0, _table(fields))
    return beginning.before(content)
