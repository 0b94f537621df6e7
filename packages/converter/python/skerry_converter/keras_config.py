"""What the configuration of a Keras model names: layers and functions of Keras, and nothing that is code of its own.

Keras has a safe mode, which stays on. It was late for files of some kinds in several versions, names no layer, and lets
layers read files; so this comes first, on the JSON alone, before anything is built.
"""

import re

from skerry_converter.protocol import ConversionFailure

MAXIMUM_CONFIG_BYTES = 64 << 20
MAXIMUM_OBJECTS = 1_000_000
# Where Keras has what models are made of. Elsewhere it has functions that load files or fetch them.
_CLASS_MODULES = {
    *("activations", "constraints", "dtype_policies", "engine", "initializers", "layers", "losses", "metrics", "models"),
    *("ops", "optimizers", "quantizers", "random", "regularizers"),
}
_FUNCTION_MODULES = {"activations", "constraints", "initializers", "losses", "metrics", "ops", "regularizers"}
# Layers whose configuration is code, or names a model elsewhere.
_CODE_LAYERS = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
# Calls of TensorFlow's functions, as Keras 2 wrote them.
_OPERATOR_LAYERS = {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod"}
# What a layer takes as the path of a file.
_FILE_ARGUMENTS = {"vocabulary", "idf_weights"}
_VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}


def refuse_code(config, known_classes):
    """`config`: of a model, parsed JSON. `known_classes`: names that a configuration without modules may use.

    @raises ConversionFailure `unsafe-model`, which names the layer
    """
    waiting, count = [(config, "the model")], 0
    while waiting:
        value, owner = waiting.pop()
        count += 1
        if count > MAXIMUM_OBJECTS:
            raise ConversionFailure("not-a-model", "The model's configuration has too many parts.")
        if isinstance(value, list):
            waiting += [(each, owner) for each in value]
        if not isinstance(value, dict):
            continue
        if isinstance(value.get("class_name"), str) and "config" in value:
            owner = _owner(value, owner)
            _check_class(value, owner, known_classes)
        for key, each in value.items():
            if key in _FILE_ARGUMENTS and isinstance(each, str):
                raise _unsafe(f"{owner} reads the file {each!r}, which is not part of the model")
            waiting.append((each, owner))


def _owner(value, outer):
    inner = value["config"]
    name = inner.get("name") if isinstance(inner, dict) else None
    # Initializers and the like have no names of their own.
    return f"the layer {name!r}" if isinstance(name, str) else outer


def _check_class(value, owner, known_classes):
    class_name, module = value["class_name"], value.get("module")
    if class_name == "__lambda__":
        raise _unsafe(f"{owner} has a Python function of its own, which is not run")
    if class_name in _CODE_LAYERS:
        raise _unsafe(f"{owner} is a {class_name} layer, which carries Python code or names another model; it is not run")
    if class_name in _OPERATOR_LAYERS:
        function = value["config"].get("function", class_name) if isinstance(value["config"], dict) else class_name
        raise ConversionFailure(
            "converter-failed",
            f"{owner[0].upper()}{owner[1:]} calls TensorFlow's {function} in a way that only Keras 2 reads: "
            "save the model as a SavedModel there (model.export) and send that.",
        )
    if class_name in _VALUES:
        return
    if class_name == "function":
        name = value["config"]
        if module != "builtins" and _part(module) not in _FUNCTION_MODULES:
            raise _unsafe(f"{owner} uses the function {name!r} of {module!r}, which is code outside of Keras and not run")
        return
    if "module" not in value:
        if class_name not in known_classes:
            raise _custom(owner, class_name)
        return
    is_plain = re.fullmatch(r"\w+", class_name) is not None
    if not is_plain or (module != "keras" and _part(module) not in _CLASS_MODULES):
        raise _custom(owner, class_name)


def _part(module):
    """`layers` for keras.layers and for keras.src.layers.core.dense."""
    parts = module.split(".") if isinstance(module, str) else []
    if len(parts) < 2 or parts[0] != "keras":
        return None
    return parts[2] if parts[1] == "src" and len(parts) > 2 else parts[1]


def _custom(owner, class_name):
    return _unsafe(f"{owner} is of the class {class_name!r}, which is code outside of Keras and not run")


def _unsafe(words):
    return ConversionFailure("unsafe-model", f"Refused: {words}.")
