"""The ways of TensorFlow's converter from a source to a file, in the order in which they are tried (attempts.py):

  fixed-batch     the SavedModel that export.py writes (open-batch where the recipe leaves the batch open)
  keras           the Keras model itself
  saved-model     the uploaded SavedModel and its signature
  v1-saved-model  a SavedModel through TensorFlow 1's loader: the uploaded one, else the exported one
  frozen          one function with the weights in it as constants
  select-tf-ops   fixed-batch with TensorFlow's own operators allowed, which no runtime here has

Each knows which tensor of its file is what: by the signature, or by the tensors' names where that is lost.
"""

from dataclasses import dataclass
from typing import Any, Callable

from skerry_converter.export import SIGNATURE
from skerry_converter.tflite_file import TfliteFile

SELECT_TF_OPS = "select-tf-ops"


class AttemptFailure(Exception):
    """Why a file that the converter gave is not taken."""


@dataclass
class Way:
    name: str
    start: Callable[[], Any]  # a converter that is not set up yet
    # (inputs, outputs) of a file, each {name in the export: index of the tensor}
    bind: Callable[[TfliteFile], tuple]
    # Names of the export to the names that calibration data has in this way; None: by position in the file.
    key: str | None = SIGNATURE
    names: dict | None = None
    select_tf_ops: bool = False


def ways_for(source, shapes, export_path, is_open):
    """`shapes` are the inputs' in this recipe, None standing for the open batch."""
    ways = [_exported("open-batch" if is_open else "fixed-batch", export_path)]
    if source.engine == "keras":
        ways.append(_keras(source, shapes))
    if source.folder is not None:
        ways += [_saved_model(source, source.folder), _v1(source, source.folder, source.signature, shapes, by_original=True)]
    else:
        ways.append(_v1(source, export_path, SIGNATURE, shapes, by_original=False))
    ways.append(_frozen(source, shapes))
    ways.append(_exported(SELECT_TF_OPS, export_path, select_tf_ops=True))
    return ways


def _exported(name, export_path, select_tf_ops=False):
    def start():
        import tensorflow as tf

        return tf.lite.TFLiteConverter.from_saved_model(str(export_path), signature_keys=[SIGNATURE])

    return Way(name, start, _signature_of, select_tf_ops=select_tf_ops)


def _keras(source, shapes):
    def start():
        import keras
        import tensorflow as tf

        # Around the model, inputs of the wanted batch whose names are the export's.
        inputs = [
            keras.Input(batch_shape=shape, dtype=tensor.dtype, name=tensor.signature_name)
            for tensor, shape in zip(source.inputs, shapes, strict=True)
        ]
        return tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, source.call(inputs)))

    def bind(file):
        inputs, outputs = _signature_of(file)
        # Keras numbers the outputs of a list.
        numbered = {f"output_{place}": tensor.signature_name for place, tensor in enumerate(source.outputs)}
        return (
            _rename(inputs, {tensor.signature_name: tensor.signature_name for tensor in source.inputs}),
            _rename(outputs, numbered),
        )

    return Way("keras", start, bind)


def _saved_model(source, folder):
    def to_export(tensors):
        return {tensor.name: tensor.signature_name for tensor in tensors}

    def start():
        import tensorflow as tf

        return tf.lite.TFLiteConverter.from_saved_model(
            str(folder), signature_keys=[source.signature], tags=_tags(folder)
        )

    def bind(file):
        inputs, outputs = _signature_of(file)
        return _rename(inputs, to_export(source.inputs)), _rename(outputs, to_export(source.outputs))

    names = {tensor.signature_name: tensor.name for tensor in source.inputs}
    return Way("saved-model", start, bind, key=source.signature, names=names)


def _v1(source, folder, signature, shapes, by_original):
    """`by_original`: the SavedModel's signature has the original's names, and not the export's."""
    def name_in(tensor):
        return tensor.name if by_original else tensor.signature_name

    def definition():
        from tensorflow.python.saved_model.loader_impl import parse_saved_model

        return parse_saved_model(str(folder)).meta_graphs[0].signature_def[signature]

    def start():
        import tensorflow as tf

        defined = definition()
        known = {
            _plain(defined.inputs[name_in(tensor)].name): shape
            for tensor, shape in zip(source.inputs, shapes, strict=True)
        }
        return tf.compat.v1.lite.TFLiteConverter.from_saved_model(
            str(folder), input_shapes=known, signature_key=signature, tag_set=_tags(folder)
        )

    def bind(file):
        defined = definition()
        return (
            _by_tensor_name(file.inputs, {t.signature_name: defined.inputs[name_in(t)].name for t in source.inputs}),
            _by_tensor_name(file.outputs, {t.signature_name: defined.outputs[name_in(t)].name for t in source.outputs}),
        )

    return Way("v1-saved-model", start, bind, key=None)


def _frozen(source, shapes):
    output_names = {}

    def start():
        import tensorflow as tf
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        spec = [
            tf.TensorSpec(shape, tensor.dtype, name=tensor.signature_name)
            for tensor, shape in zip(source.inputs, shapes, strict=True)
        ]
        # Each output has a tensor of its own, and so a name of its own.
        function = tf.function(lambda *values: [tf.identity(answer) for answer in source.call(list(values))])
        frozen = convert_variables_to_constants_v2(function.get_concrete_function(*spec))
        output_names.update(
            {tensor.signature_name: end.name for tensor, end in zip(source.outputs, frozen.outputs, strict=True)}
        )
        return tf.lite.TFLiteConverter.from_concrete_functions([frozen])

    def bind(file):
        return (
            _by_tensor_name(file.inputs, {t.signature_name: t.signature_name for t in source.inputs}),
            _by_tensor_name(file.outputs, output_names),
        )

    return Way("frozen", start, bind, key=None)


def _tags(folder):
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    return set(parse_saved_model(str(folder)).meta_graphs[0].meta_info_def.tags)


def _signature_of(file):
    signature = file.signature()
    if signature is None:
        raise AttemptFailure("The file came out without its signature.")
    return signature


def _rename(found, names):
    if set(found) != set(names):
        raise AttemptFailure(f"The file's signature names {sorted(found)}; {sorted(names)} went in.")
    return {names[name]: index for name, index in found.items()}


def _by_tensor_name(tensors, names):
    """{name of the export: index} by the names of the tensors; the only one needs no name."""
    if len(tensors) == len(names) == 1:
        return {next(iter(names)): tensors[0].index}
    found = {}
    for name, tensor_name in names.items():
        same = {tensor.index for tensor in tensors if _plain(tensor.name) == _plain(tensor_name)}
        if len(same) != 1:
            present = ", ".join(tensor.name for tensor in tensors)
            raise AttemptFailure(f"Which tensor is {name} cannot be told: its name was {tensor_name}; there are {present}.")
        found[name] = same.pop()
    return found


def _plain(tensor_name):
    return tensor_name.removesuffix(":0")
