"""Faults in a .tflite file, as a broken converter or a careless edit would leave them."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

WEIGHTED = {
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.FULLY_CONNECTED,
}
DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
}


class NotApplicable(Exception):
    """This file has nothing for the fault to break."""


class File:
    def __init__(self, content):
        self.model = schema.ModelT.InitFromPackedBuf(content, 0)
        self.graph = self.model.subgraphs[0]
        self.tensors = self.graph.tensors
        self.random = np.random.default_rng(7)
        producers = {output: operator for operator in self.graph.operators for output in operator.outputs}
        self.layers = []
        for operator in self.graph.operators:
            if self.code(operator) not in WEIGHTED:
                continue
            weights = [self.constant_of(index, producers) for index in list(operator.inputs)[1:3]]
            if weights and weights[0] is not None:
                self.layers.append((operator, weights[0], weights[1] if len(weights) > 1 else None))

    def code(self, operator):
        code = self.model.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    def constant_of(self, index, producers):
        """The tensor that holds the values: behind a DEQUANTIZE in a float16 file."""
        if index in producers and self.code(producers[index]) == schema.BuiltinOperator.DEQUANTIZE:
            index = producers[index].inputs[0]
        if index < 0 or self.model.buffers[self.tensors[index].buffer].data is None:
            return None
        return self.tensors[index]

    def values(self, tensor):
        content = np.asarray(self.model.buffers[tensor.buffer].data, np.uint8)
        return content.view(DTYPES[tensor.type]).reshape(tensor.shape)

    def set(self, tensor, values):
        content = np.ascontiguousarray(values, DTYPES[tensor.type])
        self.model.buffers[tensor.buffer].data = content.view(np.uint8).reshape(-1)

    def border(self, side):
        return self.tensors[getattr(self.graph, side)[0]]

    def pack(self):
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def middle(file):
    """A layer in the middle, with more than one output channel."""
    convolutions = [layer for layer in file.layers if file.code(layer[0]) != schema.BuiltinOperator.FULLY_CONNECTED]
    return convolutions[len(convolutions) // 2]


def weights_dropped(file):
    for _, weights, _ in file.layers:
        file.set(weights, np.zeros_like(file.values(weights)))


def layer_zeroed(file):
    weights = middle(file)[1]
    file.set(weights, np.zeros_like(file.values(weights)))


def channels_shuffled(file):
    operator, weights, _ = middle(file)
    values = file.values(weights)
    axis = 3 if file.code(operator) == schema.BuiltinOperator.DEPTHWISE_CONV_2D else 0
    if values.shape[axis] < 2:
        raise NotApplicable("one channel")
    file.set(weights, np.take(values, file.random.permutation(values.shape[axis]), axis))


def kernel_transposed(file):
    """Rows for columns in the first kernel that has both."""
    for _, weights, _ in file.layers:
        values = file.values(weights)
        if values.ndim == 4 and values.shape[1] == values.shape[2] > 1:
            return file.set(weights, values.transpose(0, 2, 1, 3))
    raise NotApplicable("no square kernel")


def layout_transposed(file):
    """A 1x1 or fully connected weight in [in, out] order where [out, in] belongs."""
    for _, weights, _ in file.layers:
        values = file.values(weights)
        if values.size == values.shape[0] * values.shape[-1] and min(values.shape[0], values.shape[-1]) > 1:
            swapped = np.moveaxis(values.reshape(values.shape[0], -1), 0, 1)
            return file.set(weights, swapped.reshape(values.shape))
    raise NotApplicable("no matrix")


def bias_dropped(file):
    found = [bias for _, _, bias in file.layers if bias is not None]
    if not found:
        raise NotApplicable("no bias")
    for bias in found:
        file.set(bias, np.zeros_like(file.values(bias)))


def last_layer_zeroed(file):
    weights = file.layers[-1][1]
    file.set(weights, np.zeros_like(file.values(weights)))


def activation_removed(file):
    found = 0
    for operator, _, _ in file.layers:
        options = operator.builtinOptions
        if options.fusedActivationFunction in (1, 3):
            options.fusedActivationFunction, found = 0, found + 1
    if not found:
        raise NotApplicable("no fused activation")


def nan_weight(file):
    weights = middle(file)[1]
    values = file.values(weights).copy()
    values.reshape(-1)[0] = np.nan
    file.set(weights, values)


def bit_flipped(file):
    """The highest bit of one float's exponent, or the sign of one int8 weight."""
    weights = middle(file)[1]
    raw = np.asarray(file.model.buffers[weights.buffer].data, np.uint8).copy()
    largest = int(np.abs(file.values(weights).reshape(-1).astype(np.float32)).argmax())
    width = file.values(weights).itemsize
    raw[largest * width + width - 1] ^= 0x40 if width > 1 else 0x80
    file.model.buffers[weights.buffer].data = raw


def input_scale(factor):
    def change(file):
        quantization = file.border("inputs").quantization
        quantization.scale = np.atleast_1d(np.float32(quantization.scale)) * np.float32(factor)

    return change


def input_zero_point(offset):
    def change(file):
        quantization = file.border("inputs").quantization
        quantization.zeroPoint = np.clip(np.atleast_1d(np.int64(quantization.zeroPoint)) + offset, -128, 127)

    return change


def output_scale(factor):
    def change(file):
        quantization = file.border("outputs").quantization
        quantization.scale = np.atleast_1d(np.float32(quantization.scale)) * np.float32(factor)

    return change


def output_zero_point(file):
    quantization = file.border("outputs").quantization
    quantization.zeroPoint = np.atleast_1d(np.int64(quantization.zeroPoint)) + 64


def weight_scale(factor):
    def change(file):
        quantization = middle(file)[1].quantization
        quantization.scale = np.atleast_1d(np.float32(quantization.scale)) * np.float32(factor)

    return change


def first_channel_scale(file):
    """The scale of channel 0 for all channels: per-channel weights read as per-tensor."""
    for _, weights, _ in file.layers:
        scale = np.atleast_1d(np.float32(weights.quantization.scale))
        if scale.size < 2:
            raise NotApplicable("one scale per tensor")
        weights.quantization.scale = np.full_like(scale, scale[0])


def swapped(side):
    def change(file):
        maps = getattr(file.model.signatureDefs[0], side)
        if len(maps) < 2:
            raise NotApplicable(f"one of its {side}")
        maps[0].tensorIndex, maps[1].tensorIndex = maps[1].tensorIndex, maps[0].tensorIndex

    return change


ALL = ("float32", "float16", "dynamic_int8", "full_int8", "int16x8")
FLOAT_AND_INT8 = ("float32", "full_int8")
FAULTS = {
    "weights-dropped": (weights_dropped, ALL),
    "layer-zeroed": (layer_zeroed, ALL),
    "last-layer-zeroed": (last_layer_zeroed, FLOAT_AND_INT8),
    "channels-shuffled": (channels_shuffled, ALL),
    "kernel-transposed": (kernel_transposed, FLOAT_AND_INT8),
    "weight-layout-transposed": (layout_transposed, FLOAT_AND_INT8),
    "bias-dropped": (bias_dropped, FLOAT_AND_INT8),
    "activation-removed": (activation_removed, FLOAT_AND_INT8),
    "nan-weight": (nan_weight, ("float32", "float16")),
    "bit-flipped": (bit_flipped, FLOAT_AND_INT8),
    "swapped-inputs": (swapped("inputs"), ALL),
    "swapped-outputs": (swapped("outputs"), ALL),
    "input-scale-doubled": (input_scale(2), ("full_int8",)),
    "input-scale-halved": (input_scale(0.5), ("full_int8",)),
    "input-zero-point": (input_zero_point(48), ("full_int8",)),
    "output-scale-halved": (output_scale(0.5), ("full_int8",)),
    "output-zero-point": (output_zero_point, ("full_int8",)),
    "weight-scale-times-4": (weight_scale(4), ("full_int8", "dynamic_int8")),
    "first-channel-scale": (first_channel_scale, ("full_int8",)),
}
FILE_FAULTS = {name: recipes for name, (_, recipes) in FAULTS.items()}


def apply(fault, content):
    file = File(content)
    FAULTS[fault][0](file)
    return file.pack()
