"""What the variants are compared with: data, and the original's answers to it."""

from dataclasses import replace

from skerry_converter.images import write_images
from skerry_converter.probes import generate_probes
from skerry_converter.samples import generate_samples

BATCH = 16


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
        probes = generate_probes(fixed, evaluation)
        fields["probesPath"] = _write(work / "probes.npz", probes)
        fields["probesReferencePath"] = _write(
            work / "probes-reference.npz", run_original(source, probes, lambda share, text: None)
        )
    if images is not None:
        fields["goldenImages"] = str(write_images(images, work / "golden-images"))
    return fields


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
