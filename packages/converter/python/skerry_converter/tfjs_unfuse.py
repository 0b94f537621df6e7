"""Takes TensorFlow.js's fused operators apart, into those that TensorFlow and its converter know."""

from skerry_converter.protocol import ConversionFailure

# Fused operator to the plain one, and the attributes that it keeps.
_CONVOLUTION = ("T", "strides", "padding", "explicit_paddings", "data_format", "dilations")
_PLAIN = {
    "_FusedConv2D": ("Conv2D", _CONVOLUTION),
    "FusedConv2D": ("Conv2D", _CONVOLUTION),
    "FusedDepthwiseConv2dNative": ("DepthwiseConv2dNative", _CONVOLUTION),
    "_FusedDepthwiseConv2dNative": ("DepthwiseConv2dNative", _CONVOLUTION),
    "_FusedMatMul": ("MatMul", ("T", "transpose_a", "transpose_b")),
}
_ACTIVATIONS = {"Relu", "Relu6", "Elu", "Sigmoid", "Tanh", "Softplus", "Selu"}


def unfuse(graph_def):
    """Changes the graph in place. What was fused keeps its name, as the last of its parts."""
    for nodes in [graph_def.node, *(function.node_def for function in graph_def.library.function)]:
        taken = {node.name for node in nodes}
        parts = []
        for node in nodes:
            parts += _Parts(node, taken).nodes if node.op in _PLAIN or node.op == "Prelu" else [node]
        # Copies, since clearing the list empties what it holds.
        copies = [_copy(part) for part in parts]
        del nodes[:]
        nodes.extend(copies)


def _copy(node):
    copy = type(node)()
    copy.CopyFrom(node)
    return copy


class _Parts:
    def __init__(self, node, taken):
        self._node, self._taken, self.nodes = node, taken, []
        self._control = [each for each in node.input if each.startswith("^")]
        inputs = [each for each in node.input if not each.startswith("^")]
        if node.op == "Prelu":
            self._prelu(*inputs)
        else:
            self._fused(inputs)
        self.nodes[-1].name = node.name

    def _fused(self, inputs):
        operator, kept = _PLAIN[self._node.op]
        last = self._add(operator, inputs[:2], kept)
        arguments = inputs[2:]
        for fused in (name.decode() for name in self._node.attr["fused_ops"].list.s):
            if fused == "BiasAdd":
                last = self._add("BiasAdd", [last, arguments.pop(0)], ("T", "data_format"))
            elif fused == "Prelu":
                last = self._prelu(last, arguments.pop(0))
            elif fused == "LeakyRelu":
                last = self._add("LeakyRelu", [last])
                self.nodes[-1].attr["alpha"].f = self._node.attr["leakyrelu_alpha"].f
            elif fused in _ACTIVATIONS:
                last = self._add(fused, [last])
            else:
                raise ConversionFailure(
                    "converter-failed", f"The operator {self._node.name!r} is fused with {fused}, which is not known here."
                )

    def _prelu(self, value, slope):
        """max(x, 0) - slope * max(-x, 0), which the converter makes one operator again."""
        positive = self._add("Relu", [value])
        negative = self._add("Relu", [self._add("Neg", [value])])
        return self._add("AddV2", [positive, self._add("Mul", [self._add("Neg", [slope]), negative])])

    def _add(self, operator, inputs, kept=("T",)):
        part = type(self._node)(op=operator, name=self._free_name(operator), device="")
        first = not self.nodes
        part.input.extend([*inputs, *(self._control if first else [])])
        for name in kept:
            if name in self._node.attr:
                part.attr[name].CopyFrom(self._node.attr[name])
        if "T" not in part.attr:
            part.attr["T"].type = 1  # DT_FLOAT
        self.nodes.append(part)
        return part.name

    def _free_name(self, operator):
        name, count = f"{self._node.name}/{operator}", 0
        while name in self._taken:
            count += 1
            name = f"{self._node.name}/{operator}_{count}"
        self._taken.add(name)
        return name
