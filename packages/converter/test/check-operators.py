"""Prints, as JSON, the operators of the installed TensorFlow that the intake lets pass: {stateful: [...], fileLike: [...]}.
File-like are those with an argument or a text attribute that is named like a file, an address or a process.
"""

import json
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from skerry_converter.graph_safety import refuse_unsafe_nodes  # noqa: E402
from skerry_converter.protocol import ConversionFailure  # noqa: E402
from tensorflow.core.framework import node_def_pb2, op_def_pb2  # noqa: E402
from tensorflow.python.client import pywrap_tf_session  # noqa: E402

FILE_LIKE = re.compile(r"file|path|prefix|dir$|directory|address|url|memory_region|descriptor_source|debug_ops|output_stream|target_name")
operators = op_def_pb2.OpList.FromString(
    pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
)


def passes(operator, value):
    node = node_def_pb2.NodeDef(name="n", op=operator.name)
    for attribute in operator.attr:
        if attribute.type == "string":
            node.attr[attribute.name].s = value
    try:
        refuse_unsafe_nodes([node])
        return True
    except ConversionFailure:
        return False


stateful, file_like = [], []
for operator in operators.op:
    if not passes(operator, b"file:///tmp/x"):
        continue
    texts = [attribute.name for attribute in operator.attr if "string" in attribute.type]
    if operator.is_stateful:
        stateful.append(operator.name)
    if any(FILE_LIKE.search(name) for name in [*texts, *(argument.name for argument in operator.input_arg)]):
        file_like.append(operator.name)
print(json.dumps({"count": len(operators.op), "stateful": sorted(stateful), "fileLike": sorted(file_like)}))
