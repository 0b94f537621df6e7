"""Compares .tflite files with the model they come from, on the same samples. Argument: a JSON object {source, format,
packages: folder of tf_keras, samples: .npz, files: [{name, path, outputs: {original's output: file's output}}]}.

Prints {file: {output: {snrDb, agreement}}}. The original runs in Keras 2 or TensorFlow, the files in LiteRT's Python
interpreter, so that nothing of Skerry stands between. Nothing but Skerry loads TensorFlow.js models in Python: in
their place stands the file named float32, which was compared with the original before.
"""

import json
import math
import os
import sys
import tempfile
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np

BATCH = 16
CLEAR_MARGIN = 0.1


def run_original(source, kind, packages, samples):
    """Returns {output: array} of all samples."""
    (array,) = samples.values()
    batches = [array[start : start + BATCH] for start in range(0, len(array), BATCH)]
    if kind == "h5":
        sys.path.append(packages)
        import tf_keras

        model = tf_keras.models.load_model(source, compile=False)
        answers = [model.predict(batch, verbose=0) for batch in batches]
        return {model.output_names[0]: np.concatenate(answers)}

    import tensorflow as tf

    # The session of TensorFlow 1 asks for no optimizer, which tf.saved_model.load does not find in old models.
    with tempfile.TemporaryDirectory() as folder, tf.compat.v1.Session(graph=tf.Graph()) as session:
        with zipfile.ZipFile(source) as archive:
            archive.extractall(folder)
            root = os.path.join(folder, archive.namelist()[0].split("/")[0])
        signature = tf.compat.v1.saved_model.load(session, ["serve"], root).signature_def["serving_default"]
        (entry,) = signature.inputs.values()
        outputs = {name: info.name for name, info in signature.outputs.items()}
        answers = [session.run(outputs, {entry.name: batch}) for batch in batches]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in outputs}


def run_file(path, samples, outputs):
    """Returns {original's output: array}. A file without a signature is asked by its tensors' names."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path)
    interpreter.allocate_tensors()
    invoke = _by_signature if interpreter.get_signature_list() else _by_tensors
    answers = {name: [] for name in outputs}
    (array,) = samples.values()
    for sample in array:
        found = invoke(interpreter, sample[None])
        for name, own in outputs.items():
            answers[name].append(found[own])
    return {name: np.concatenate(each) for name, each in answers.items()}


def _by_signature(interpreter, value):
    runner = interpreter.get_signature_runner()
    ((name, entry),) = runner.get_input_details().items()
    details = runner.get_output_details()
    return {key: _real(answer, details[key]) for key, answer in runner(**{name: _stored(value, entry)}).items()}


def _by_tensors(interpreter, value):
    (entry,) = interpreter.get_input_details()
    interpreter.set_tensor(entry["index"], _stored(value, entry))
    interpreter.invoke()
    details = interpreter.get_output_details()
    return {detail["name"]: _real(interpreter.get_tensor(detail["index"]), detail) for detail in details}


def _stored(value, detail):
    scale, zero = detail["quantization"]
    if scale == 0:
        return value.astype(detail["dtype"])
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(value / scale + zero), limits.min, limits.max).astype(detail["dtype"])


def _real(value, detail):
    scale, zero = detail["quantization"]
    return value.astype(np.float32) if scale == 0 else ((value.astype(np.float32) - zero) * scale).astype(np.float32)


def compare(reference, answer):
    """Mean-removed SNR, dB (None: equal); share of equal top-1 decisions where the reference's margin is over 0.1."""
    reference, answer = reference.astype(np.float64), answer.astype(np.float64).reshape(reference.shape)
    error = np.mean((answer - reference) ** 2)
    snr = None if error == 0 else round(10 * math.log10(np.var(reference) / error), 2)
    if reference.ndim != 2 or reference.shape[1] == 1:
        return {"snrDb": snr, "agreement": None}
    ordered = np.sort(reference, -1)
    clear = ordered[:, -1] - ordered[:, -2] > CLEAR_MARGIN
    same = np.argmax(answer, -1) == np.argmax(reference, -1)
    return {"snrDb": snr, "agreement": round(float(same[clear].mean()), 4) if clear.any() else None}


def main():
    wanted = json.loads(sys.argv[1])
    with np.load(wanted["samples"], allow_pickle=False) as archive:
        samples = {name: archive[name] for name in archive.files if name != "y"}
    files = {file["name"]: file for file in wanted["files"]}
    if wanted["format"] == "tfjs":
        float32 = files.pop("float32")
        original = run_file(float32["path"], samples, float32["outputs"])
    else:
        original = run_original(wanted["source"], wanted["format"], wanted["packages"], samples)
    results = {}
    for file in files.values():
        # A model of one output goes by that, whatever the two call it.
        outputs = file["outputs"]
        answers = run_file(file["path"], samples, outputs)
        lone = len(original) == len(answers) == 1
        pairs = {name: next(iter(original.values())) if lone else original[name] for name in answers}
        results[file["name"]] = {name: compare(pairs[name], answers[name]) for name in answers}
    print(json.dumps(results))


main()
