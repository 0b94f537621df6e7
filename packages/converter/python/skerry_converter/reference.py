"""What the variants are compared with: data, and the original's answers to it."""

from dataclasses import replace

from skerry_converter.images import write_images
from skerry_converter.probes import generate_probes
from skerry_converter.samples import generate_samples

BATCH = 16
# Some times what two engines' rounding differs by, and the share of an output's spread that it may move the answer by.
NUDGE = 1e-5
UNSTEADY = 1e-3


def fixed_tensors(source, shapes):
    """The inputs with the shapes of one inference."""
    return [replace(tensor, shape=shape) for tensor, shape in zip(source.inputs, shapes, strict=True)]


def write_evidence(source, shapes, evaluation, labels, images, work, events):
    """Writes samples, probes and answers into the folder `work`; returns the fields of the event `exported`."""
    fixed = fixed_tensors(source, shapes)

    def progress(share, text):
        events.progress("reference", 18 + 12 * share, text)

    samples = evaluation if evaluation is not None else generate_samples(fixed)
    answers = run_original(source, samples, progress)
    fields = {
        "data": "generated" if evaluation is None else "uploaded",
        "samplesPath": _write(work / "samples.npz", samples, {} if labels is None else {"y": labels}),
        "referencePath": _write(work / "reference.npz", answers),
    }
    if evaluation is not None:
        probes, probe_answers = _steady(source, generate_probes(fixed, evaluation))
        if len(next(iter(probes.values()))) > 0:
            fields["probesPath"] = _write(work / "probes.npz", probes)
            fields["probesReferencePath"] = _write(work / "probes-reference.npz", probe_answers)
    if images is not None:
        fields["goldenImages"] = str(write_images(images, work / "golden-images"))
    return fields


def _steady(source, probes):
    """The probes to which the original gives the same answer when they change by rounding, and its answers.

    Far from real data a deep network can turn a change of 1e-6 into another answer (an EfficientNet's logit moved by 22):
    what is exact arithmetic's then is no engine's, and a difference says nothing.
    """
    import numpy as np

    def silent(share, text):
        pass

    answers = run_original(source, probes, silent)
    if not any(array.dtype.kind == "f" for array in probes.values()):
        return probes, answers
    random = np.random.default_rng(0)
    nudged = run_original(source, {name: _nudge(array, random) for name, array in probes.items()}, silent)
    kept = np.ones(len(next(iter(probes.values()))), bool)
    for name, array in answers.items():
        if array.dtype.kind not in "fiub":
            continue
        rows = array.reshape(len(array), -1).astype("float64")
        finite = np.isfinite(rows)
        spread = np.ptp(rows[finite]) if finite.any() else 0
        moved = np.abs(np.where(finite, nudged[name].reshape(rows.shape) - rows, 0))
        kept &= ~(moved > UNSTEADY * spread).any(axis=1)
    return tuple({name: array[kept] for name, array in arrays.items()} for arrays in (probes, answers))


def _nudge(array, random):
    if array.dtype.kind != "f":
        return array
    return (array * (1 + NUDGE * random.choice([-1.0, 1.0], array.shape))).astype(array.dtype)


def run_original(source, samples, progress):
    """Every output of the original for every sample: {output name: array [samples, ...]}."""
    import numpy as np
    import tensorflow as tf

    arrays = [samples[tensor.name] for tensor in source.inputs]
    count = len(arrays[0])
    fixed_batch = any(tensor.shape[0] == 1 for tensor in source.inputs)
    step = 1 if fixed_batch else BATCH
    collected = [[] for _ in source.outputs]
    for start in range(0, count, step):
        progress(start / count, f"original on sample {start + 1} of {count}")
        answers = source.call([tf.constant(array[start : start + step]) for array in arrays])
        for parts, answer in zip(collected, answers, strict=True):
            parts.append(_array(np.asarray(answer)))
    return {tensor.name: np.concatenate(parts) for tensor, parts in zip(source.outputs, collected, strict=True)}


def _array(answer):
    # Texts come as objects, which only pickle could write.
    return answer.astype("S") if answer.dtype == object else answer


def _write(path, tensors, more={}):
    """An .npz whose tensors cannot be taken for what else is in it; returns the path."""
    import numpy as np

    np.savez(path, **{f"x:{name}": array for name, array in tensors.items()}, **more)
    return str(path)
