"""The SavedModel that the converter and the reference engine read: a batch of 1 (or an open one), and names that stay."""

from skerry_converter.protocol import ConversionFailure

SIGNATURE = "serving_default"


def fixed_shape(tensor, data):
    """The shape of one inference; dimensions that the model leaves open are taken from the data."""
    shape = tensor.shape
    if not shape or shape[0] not in (-1, 1):
        raise ConversionFailure(
            "converter-failed", f"Input {tensor.name} has shape {shape}: its first dimension must be the open batch or 1."
        )
    if -1 in shape[1:]:
        if data is None:
            raise ConversionFailure(
                "input-mismatch",
                f"Input {tensor.name} has open dimensions {shape}: evaluation or calibration data must show their sizes.",
            )
        return [1, *data[tensor.name].shape[1:]]
    return [1, *shape[1:]]


def open_batch(tensor, fixed):
    """The shape with the batch left open, where the model itself leaves it open."""
    if tensor.shape[0] != -1:
        raise ConversionFailure(
            "converter-failed", f"Input {tensor.name} has a batch of {tensor.shape[0]}, and none that could be left open."
        )
    return [None, *fixed[1:]]


def export(source, shapes, path):
    """Writes the SavedModel. Inputs and outputs travel in dictionaries, so that nothing depends on their order."""
    import tensorflow as tf

    spec = {
        tensor.signature_name: tf.TensorSpec(shape, tensor.dtype, name=tensor.signature_name)
        for tensor, shape in zip(source.inputs, shapes, strict=True)
    }

    def serve(inputs):
        answers = source.call([inputs[tensor.signature_name] for tensor in source.inputs])
        return {tensor.signature_name: answer for tensor, answer in zip(source.outputs, answers, strict=True)}

    function = tf.function(serve, input_signature=[spec])
    graph = function.get_concrete_function().graph
    module = tf.Module()
    # Keras 3 keeps its variables where TensorFlow's saving does not look. A variable that the module does not own is
    # exported without its value, and the converter then writes a file without weights, with no error.
    module.captured = list(graph.variables)
    # A tracked Keras model is traced layer by layer, which makes each load of the export, two for every variant, twice as
    # long: so only where it owns more than variables, such as tables.
    handles = {id(variable.handle) for variable in graph.variables}
    if any(id(outside) not in handles for outside, _ in graph.captures):
        module.source = source.trackable
    tf.saved_model.save(module, str(path), signatures={SIGNATURE: function})


def exported_weights(path):
    """Elements of the exported variables whose values differ among themselves: those a converted file has to hold.

    Equal values become no constant of their size in every file; state such as a random generator's is small.
    """
    import numpy as np
    import tensorflow as tf

    prefix = str(path / "variables" / "variables")
    if not (path / "variables" / "variables.index").exists():
        return 0
    reader = tf.train.load_checkpoint(prefix)
    count = 0
    for name in reader.get_variable_to_shape_map():
        value = reader.get_tensor(name) if name.endswith("VARIABLE_VALUE") else None
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size > 1 and np.ptp(value) > 0:
            count += value.size
    return count
