"""Where a quantized file loses the signal: each layer's output beside the same layer's in the float file.

Request: {floatPath, quantizedPath, samplesPath, limit, names?, workDir}. `samplesPath` is the samples.npz of a conversion;
`names` (its `inputs`) leads from the original's input names to the files'.
Event: layers {layers: [{tensor, operator, position, snrDb, lossDb}]}, the worst first. A quantized input is a layer too,
with the operator INPUT: real values beyond its scale are cut off there. `position` counts in the order of execution.
"""

import numpy as np

from skerry_converter.protocol import ConversionFailure, last_words

DEFAULT_LIMIT = 32
# A sum of squares for each element of each layer would not fit for large pictures. Picked at random, since every n-th
# element would fall on the same channels.
MAX_ELEMENTS = 32768
# What the converter adds to a name when a tensor also exists in another type.
SUFFIXES = ("_int8", "_uint8", "_int16", "_float")
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
# JSON has no infinity, and nothing beyond this says more.
CLIP_DB = 200.0


def layer_errors(request, events):
    samples = read_inputs(request["samplesPath"], request.get("names"))
    count = min(len(next(iter(samples.values()))), request.get("limit") or DEFAULT_LIMIT)
    floating, quantized = Graph(request["floatPath"]), Graph(request["quantizedPath"])
    pairs = match(floating, quantized)
    noise = {tensor: Noise(floating.elements(tensor)) for tensor in pairs}
    for index in range(count):
        events.progress("layers", 100 * index / count, f"comparing the layers on sample {index + 1} of {count}")
        inputs = {name: array[index : index + 1] for name, array in samples.items()}
        floating.run(inputs)
        quantized.run(inputs)
        for tensor, other in pairs.items():
            noise[tensor].add(floating.value(tensor), quantized.value(other))
    events.emit("layers", layers=rank(floating, {tensor: each.snr_db() for tensor, each in noise.items()}))


def read_inputs(path, names):
    """{name of the file's signature: array [samples, ...]}."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name[2:]: archive[name] for name in archive.files if name.startswith("x:")}
    if not arrays:
        raise ConversionFailure("invalid-data", "There are no samples to compare layers on.")
    renamed = (names or {}).get("inputs", {})
    return {renamed.get(name, name): array for name, array in arrays.items()}


class Graph:
    """One .tflite file, run by the kernels that keep every layer's output."""

    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        try:
            self._interpreter = Interpreter(
                str(path),
                num_threads=1,
                # A delegate would run many layers as one, and leave nothing of those within.
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ConversionFailure("converter-failed", f"The layers cannot be run one by one: {last_words(error)}") from error
        self._details = {detail["index"]: detail for detail in self._interpreter.get_tensor_details()}
        # Temporary tensors of kernels, such as im2col, have no name and no details.
        self.operators = [
            (each["op_name"], [i for i in each["inputs"] if i in self._details], [o for o in each["outputs"] if o in self._details])
            for each in self._interpreter._get_ops_details()
            if each["op_name"] != "DELEGATE"
        ]
        signatures = self._interpreter._get_full_signature_list()
        signature = next(iter(signatures.values()), None)
        borders = [detail["index"] for detail in self._interpreter.get_input_details()]
        self.inputs = signature["inputs"] if signature else {self.name(index): index for index in borders}

    def name(self, tensor):
        return self._details[tensor]["name"]

    def shape(self, tensor):
        return tuple(int(size) for size in self._details[tensor]["shape"])

    def elements(self, tensor):
        return int(np.prod(self.shape(tensor), dtype=np.int64))

    def run(self, inputs):
        for name, tensor in self.inputs.items():
            if name not in inputs:
                raise ConversionFailure("input-mismatch", f"There are no samples for the input {name}.")
            self._interpreter.set_tensor(tensor, self._stored(tensor, inputs[name]))
        self._interpreter.invoke()

    def value(self, tensor):
        """The real numbers that the tensor stands for, flat."""
        stored = self._interpreter.get_tensor(tensor).astype(np.float64)
        scales, zero_points, axis = self._quantization(tensor)
        if len(scales) == 1:
            stored = (stored - zero_points[0]) * scales[0]
        elif len(scales) > 1:
            shape = [-1 if each == axis else 1 for each in range(stored.ndim)]
            stored = (stored - zero_points.reshape(shape)) * scales.reshape(shape)
        return stored.ravel()

    def is_number(self, tensor):
        return np.dtype(self._details[tensor]["dtype"]).kind in "fiu"

    def _quantization(self, tensor):
        parameters = self._details[tensor]["quantization_parameters"]
        return parameters["scales"].astype(np.float64), parameters["zero_points"], parameters["quantized_dimension"]

    def _stored(self, tensor, values):
        dtype = np.dtype(self._details[tensor]["dtype"])
        scales, zero_points, _ = self._quantization(tensor)
        if dtype.kind in "iu" and values.dtype.kind == "f" and len(scales) == 1:
            limits = np.iinfo(dtype)
            values = np.clip(np.round(values.astype(np.float64) / scales[0]) + zero_points[0], limits.min, limits.max)
        return values.astype(dtype).reshape(self.shape(tensor))


class Noise:
    """Mean-removed signal-to-noise ratio of one tensor: 10 log10(var(reference) / mse), as src/parity.ts has it."""

    def __init__(self, elements):
        self._picked = None
        if elements > MAX_ELEMENTS:
            self._picked = np.sort(np.random.default_rng(elements).choice(elements, MAX_ELEMENTS, replace=False))
        self._first, self._sum, self._squares, self._error, self._count = None, 0.0, 0.0, 0.0, 0
        self._largest = 0.0

    def add(self, reference, candidate):
        if self._picked is not None:
            reference, candidate = reference[self._picked], candidate[self._picked]
        if self._first is None:
            self._first = reference
        # Squares of the distance from the first sample lose nothing to a large constant part.
        moved = reference - self._first
        self._sum = self._sum + moved
        self._squares += float(np.dot(moved, moved))
        self._error += float(np.sum((candidate - reference) ** 2))
        self._largest = max(self._largest, float(np.max(np.abs(reference), initial=0)))
        self._count += 1

    def snr_db(self):
        """None where nothing can be said: the reference is the same for every sample. Infinity where nothing differs."""
        count, elements = self._count, np.size(self._sum)
        signal = self._squares - float(np.dot(self._sum, self._sum)) / count
        # float32's own noise, as isConstant in parity.ts.
        if not signal > count * elements * (1e-6 * self._largest) ** 2:
            return None
        if self._error == 0:
            return float("inf")
        ratio = signal / self._error
        return -CLIP_DB if not ratio > 0 else float(np.clip(10 * np.log10(ratio), -CLIP_DB, CLIP_DB))


def match(floating, quantized):
    """{tensor of the float graph: the same layer's of the other}: by name, else by place where the graphs run alike."""
    by_name = {}
    for _, _, outputs in quantized.operators:
        for tensor in outputs:
            by_name.setdefault(quantized.name(tensor), tensor)
    pairs = {tensor: quantized.inputs[name] for name, tensor in floating.inputs.items() if name in quantized.inputs}
    for _, _, outputs in floating.operators:
        for tensor in outputs:
            names = (floating.name(tensor), *(floating.name(tensor) + suffix for suffix in SUFFIXES))
            found = next((by_name[name] for name in names if name in by_name), None)
            if found is not None:
                pairs[tensor] = found
    layers, others = without_conversions(floating), without_conversions(quantized)
    if [name for name, _ in layers] == [name for name, _ in others]:
        for (_, outputs), (_, twins) in zip(layers, others, strict=True):
            for tensor, twin in zip(outputs, twins, strict=False):
                pairs.setdefault(tensor, twin)
    return {
        tensor: twin
        for tensor, twin in pairs.items()
        if floating.is_number(tensor) and quantized.is_number(twin) and floating.shape(tensor) == quantized.shape(twin)
    }


def without_conversions(graph):
    return [(name, outputs) for name, _, outputs in graph.operators if name not in CONVERSIONS]


def rank(graph, snr_db):
    """Layers by the share of the signal that each itself loses: what is lost before it is not its fault."""
    reads = sources(graph, snr_db)
    steps = [("INPUT", [], [tensor]) for tensor in graph.inputs.values()] + graph.operators
    layers = []
    for position, (operator, inputs, outputs) in enumerate(steps):
        before = [snr_db[tensor] for start in inputs for tensor in reads(start)]
        worst = min(before, default=float("inf"))
        for tensor in outputs:
            own = snr_db.get(tensor)
            if own is None:
                continue
            if operator == "INPUT" and not np.isfinite(own):
                continue
            loss = worst - own if np.isfinite(worst) and np.isfinite(own) else None
            layer = {
                "tensor": graph.name(tensor),
                "operator": operator,
                "position": position,
                "snrDb": round(own, 2) if np.isfinite(own) else None,
                "lossDb": None if loss is None else round(loss, 2),
            }
            layers.append((lost_share(own) - lost_share(worst), layer))
    return [layer for _, layer in sorted(layers, key=lambda pair: -pair[0])]


def lost_share(snr_db):
    """Noise as a share of the signal; at 0 dB all is lost, and more noise loses no more."""
    return min(1.0, 10 ** (-snr_db / 10))


def sources(graph, snr_db):
    """A function from a tensor to the compared tensors that it comes from: itself, or through what was not compared."""
    producers = {tensor: inputs for _, inputs, outputs in graph.operators for tensor in outputs}

    def reads(start):
        # Not recursive: graphs are deeper than Python's stack.
        found, seen, left = [], set(), [start]
        while left:
            tensor = left.pop()
            if tensor in seen:
                continue
            seen.add(tensor)
            if snr_db.get(tensor) is not None:
                found.append(tensor)
            else:
                left.extend(producers.get(tensor, []))
        return found

    return reads
