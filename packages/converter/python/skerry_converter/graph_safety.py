"""Refuses graphs with operators that reach files, the network, other processes or Python.

Loading a SavedModel runs its initializers and what restores its variables, and the reference runs a signature. So this
comes first, on the protocol buffers alone. Operators that TensorFlow calls stateful are refused unless they are known to
keep to themselves; of the others those are refused that are known not to.
"""

import re

from skerry_converter.protocol import ConversionFailure

# Stateful, and nothing but memory is reached.
_HARMLESS = re.compile(
    r"(Stateful)?PartitionedCall|(Stateless)?(If|While|Case)|_(If|While)|Assert|CheckNumerics(V2)?|GuaranteeConst|"
    r"XlaCallModule|_Arg|_Retval|DeepCopy|Empty|TensorArray\w*|Stack(Push|Pop|Close)?(V2)?|TemporaryVariable|"
    # Variables.
    r"VarHandleOp|Variable(V2)?|VarIsInitializedOp|ReadVariableOp|VariableShape|Assign(Add|Sub)?VariableOp|_VarHandlesOp|"
    r"_ReadVariablesOp|Resource(Gather(Nd)?|Scatter\w+|StridedSliceAssign|CountUpTo|(Sparse)?Apply\w+)|DestroyResourceOp|"
    r"DisableCopyOnRead|IsResourceHandleRefCounting|Mutex(V2|Lock)|ConsumeMutexLock|"
    # Tables.
    r"(Anonymous)?(Mutable)?(Dense)?HashTable(OfTensors)?(V2)?|LookupTable\w+|InitializeTableV2|"
    # Random numbers.
    r"Random(Uniform(Int)?|StandardNormal|Shuffle|Crop|Gamma|Poisson(V2)?)|TruncatedNormal|ParameterizedTruncatedNormal|"
    r"Multinomial|StatelessRandomGetAlg|Stateful\w+|Rng(Skip|ReadAndSkip)|NonDeterministicInts|"
    r"SampleDistortedBoundingBox(V2)?|(All|Uniform|LogUniform|LearnedUnigram|ThreadUnsafeUnigram)CandidateSampler|"
    # Data that is in memory.
    r"(Range|Tensor|TensorSlice|SparseTensorSlice)Dataset|ReduceDataset|DatasetToSingleElement|DummyMemoryCache|"
    # In v1 graphs that were trained.
    r"ConditionalAccumulator|NegTrain|Print|CudnnRNN\w*|(FIFO|PaddingFIFO|RandomShuffle|Priority)Queue(V2)?|Queue\w+V2|"
    r"IteratorV?\d?|OneShotIterator|MakeIterator|IteratorGetNext(Sync|AsOptional)?|IteratorToStringHandle"
)
# Not stateful, and still not to themselves.
_REACHING = re.compile(
    r"(Eager)?PyFunc\w*|ReadFile|WriteFile|MatchingFiles|ImmutableConst|Abort|GenerateVocabRemapping|Snapshot\w*|"
    r"CacheDataset|RegisterDataset(V2)?|Debug\w+|Copy(Host)?|MlirPassthroughOp|XlaCustomCall(V2)?|Rpc\w+|"
    r"(Save|Load)Dataset\w*|\w*(TextLine|FixedLengthRecord|TFRecord|CSV|LMDB|Sql|DataService)\w*(Reader|Dataset)\w*|"
    r"Save(Slices)?|Restore(Slice)?|FileSystem\w+|_?(Host)?(Send|Recv)|\w*(TPU|Collective|Nccl)\w*"
)
# Operators that reach files with some values of an attribute: {operator: (attribute, values that are harmless)}.
_BY_ATTRIBUTE = {
    "PrintV2": ("output_stream", re.compile(r"|stdout|stderr|log\(\w+\)")),
    "DecodeProtoV2": ("descriptor_source", re.compile(r"|local://|bytes://.*", re.DOTALL)),
    "EncodeProto": ("descriptor_source", re.compile(r"|local://|bytes://.*", re.DOTALL)),
    "FixedUnigramCandidateSampler": ("vocab_file", re.compile(r"")),
}
_TABLE_FROM_FILE = {"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"}
# Every SavedModel holds these, in what saves and restores its variables.
_WRITING = {"SaveV2", "MergeV2Checkpoints"}
_RESTORING = {"RestoreV2"}
_SAVE_FUNCTION = re.compile(r"__inference__traced_save_\d+")
_RESTORE_FUNCTION = re.compile(r"__inference__traced_restore_\d+")


def refuse_unsafe_operators(meta_graph):
    """@raises ConversionFailure `unsafe-model`, which names the operator"""
    library = meta_graph.graph_def.library.function
    # Whether they run is looked at below.
    _refuse_nodes(meta_graph.graph_def.node, _WRITING | _RESTORING)
    for function in library:
        name = function.signature.name
        allowed = set()
        if _SAVE_FUNCTION.fullmatch(name):
            allowed = _WRITING
        elif _RESTORE_FUNCTION.fullmatch(name):
            allowed = _RESTORING
        _refuse_nodes(function.node_def, allowed)
        for node in function.node_def:
            _refuse_calls(node, _SAVE_FUNCTION, _RESTORE_FUNCTION)
    _refuse_checkpoints_where_they_run(meta_graph)
    _refuse_foreign_tables(meta_graph)


def refuse_unsafe_nodes(nodes):
    """For graphs in which nothing saves, restores or reads a file that travels with the model."""
    for node in nodes:
        if node.op in _TABLE_FROM_FILE:
            raise _unsafe(node.op)
    _refuse_nodes(nodes, ())


def _refuse_nodes(nodes, checkpoint):
    from tensorflow.python.framework import op_def_registry

    for node in nodes:
        if node.op in checkpoint or node.op in _TABLE_FROM_FILE:
            continue
        if node.op in _BY_ATTRIBUTE:
            attribute, harmless = _BY_ATTRIBUTE[node.op]
            if harmless.fullmatch(node.attr[attribute].s.decode("utf-8", "replace")):
                continue
            raise _unsafe(node.op)
        definition = op_def_registry.get(node.op)
        is_unknown_state = definition is not None and definition.is_stateful and not _HARMLESS.fullmatch(node.op)
        if is_unknown_state or _REACHING.fullmatch(node.op) or node.op in _WRITING | _RESTORING:
            raise _unsafe(node.op)


def _refuse_calls(node, *names):
    for called in called_functions(node):
        if any(name.fullmatch(called) for name in names):
            raise _unsafe("SaveV2" if _SAVE_FUNCTION.fullmatch(called) else "RestoreV2")


def called_functions(node):
    lists = [[attribute.func, *attribute.list.func] for attribute in node.attr.values()]
    return [node.op, *(function.name for functions in lists for function in functions)]


def _refuse_checkpoints_where_they_run(meta_graph):
    """What restores may not write; what initializes or answers may do neither."""
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    ends = [
        info.name
        for signature in meta_graph.signature_def.values()
        for info in [*signature.inputs.values(), *signature.outputs.values()]
    ]
    for collection in ("saved_model_main_op", "legacy_init_op", "table_initializer", "init_op"):
        ends += meta_graph.collection_def[collection].node_list.value if collection in meta_graph.collection_def else []
    for node in _before(nodes, ends):
        if node.op in _WRITING | _RESTORING:
            raise _unsafe(node.op)
        _refuse_calls(node, _SAVE_FUNCTION, _RESTORE_FUNCTION)
    restore = meta_graph.saver_def.restore_op_name
    for node in _before(nodes, [restore] if restore else []):
        if node.op in _WRITING:
            raise _unsafe(node.op)
        _refuse_calls(node, _SAVE_FUNCTION)


def _before(nodes, ends):
    """All that has to run for these tensors or operators."""
    waiting, seen = [_node_name(end) for end in ends], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        yield nodes[name]
        waiting += [_node_name(each) for each in nodes[name].input]


def _refuse_foreign_tables(meta_graph):
    """A table may be read from an asset, which travels with the model, and from no other file."""
    for asset in meta_graph.asset_file_def:
        if "/" in asset.filename or "\\" in asset.filename or asset.filename in ("", ".", ".."):
            raise ConversionFailure("unsafe-model", f"The SavedModel's asset {asset.filename!r} is outside of it.")
    assets = {_node_name(asset.tensor_info.name) for asset in meta_graph.asset_file_def}
    functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    readers = _functions_with_tables(functions)
    main = {node.name: node for node in meta_graph.graph_def.node}
    for node in main.values():
        if node.op in _TABLE_FROM_FILE and not _comes_from(main, node.input[1], assets):
            raise _unsafe(node.op)
        if readers.intersection(called_functions(node)):
            _refuse_texts(main, node, assets)
    for name in readers:
        own = {node.name: node for node in functions[name].node_def}
        arguments = {argument.name for argument in functions[name].signature.input_arg}
        for node in own.values():
            if node.op in _TABLE_FROM_FILE and not _comes_from(own, node.input[1], arguments):
                raise _unsafe(node.op)
            if readers.intersection(called_functions(node)):
                _refuse_texts(own, node, arguments)
    objects = meta_graph.object_graph_def
    for name, concrete in objects.concrete_functions.items():
        if name not in readers:
            continue
        for index in concrete.bound_inputs:
            bound = objects.nodes[index]
            constant = main.get(bound.constant.operation) if bound.WhichOneof("kind") == "constant" else None
            if constant is not None and _is_text(constant) and constant.name not in assets:
                raise _unsafe("InitializeTableFromTextFileV2")


def _functions_with_tables(functions):
    """Names of the functions that read a table from a file, themselves or by what they call."""
    calls = {name: set() for name in functions}
    found = set()
    for name, function in functions.items():
        for node in function.node_def:
            if node.op in _TABLE_FROM_FILE:
                found.add(name)
            calls[name].update(called_functions(node))
    grown = True
    while grown:
        more = {name for name, called in calls.items() if name not in found and called & found}
        found |= more
        grown = bool(more)
    return found


def _refuse_texts(nodes, call, allowed):
    for each in call.input:
        node = nodes.get(_node_name(each))
        # A placeholder is what its caller sends; handles are no texts, whatever they lead to.
        if each.startswith("^") or node is None or _NO_TEXT.fullmatch(node.op):
            continue
        # Anything else that makes a text could make a path.
        is_text = _is_text(node) or any(attribute.type == _STRING for attribute in node.attr.values())
        if is_text and not _comes_from(nodes, each, allowed):
            raise _unsafe("InitializeTableFromTextFileV2")


def _comes_from(nodes, tensor, allowed):
    """Whether the text is one of the allowed nodes', passed on, or kept in a variable that holds nothing else."""
    waiting, seen = [_node_name(tensor)], set()
    while waiting:
        name = waiting.pop()
        if name in allowed or name in seen:
            continue
        seen.add(name)
        node = nodes.get(name)
        if node is None or node.op not in ("Identity", "ReadVariableOp"):
            return False
        before = [_node_name(node.input[0])]
        if node.op == "ReadVariableOp":
            before = [
                _node_name(each.input[1])
                for each in nodes.values()
                if each.op == "AssignVariableOp" and _node_name(each.input[0]) == before[0]
            ]
        if not before:
            return False
        waiting += before
    return True


_STRING = 7  # DT_STRING
_NO_TEXT = re.compile(r"Placeholder|VarHandleOp|\w*HashTable\w*")


def _is_text(node):
    return node.attr["dtype"].type == _STRING if "dtype" in node.attr else False


def _node_name(tensor):
    """`a` for a:0, ^a and a:output:0."""
    return tensor.removeprefix("^").partition(":")[0]


def _unsafe(operator):
    return ConversionFailure(
        "unsafe-model",
        f"The model holds the operator {operator}, which reaches files, other processes or Python and is not run.",
    )
