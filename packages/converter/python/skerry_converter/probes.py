"""Inputs that no data set has: zeros, ones, the ends of the range, noise. They find what is broken and prove nothing."""

import itertools

import numpy as np

SEED = 20241107
NOISE_SAMPLES = 10
LARGE = 1000.0
# Of data that is small itself, such as normalized pixels, large values say nothing.
LARGE_FROM = 100.0


def generate_probes(inputs, uploaded):
    """{input name: array [samples, ...]}: zeros, ones, minus ones, the lowest and the highest value uploaded, large
    values where those uploaded are large, and noise, which differs from input to input; then, where inputs are alike, the
    noise again with two of them exchanged: a variant in which they are exchanged answers it the other way round.

    `inputs` have fixed shapes; `uploaded` maps input names to arrays. Whole numbers stay within those uploaded, since
    others may be no index of anything.
    """
    random = np.random.default_rng(SEED)
    large = any(
        array.dtype.kind == "f" and np.max(np.abs(array), initial=0) >= LARGE_FROM for array in uploaded.values()
    )
    probes = {
        tensor.name: np.concatenate(_rows(tensor.shape[1:], uploaded[tensor.name], large, random)) for tensor in inputs
    }
    return _with_exchanged(probes)


def _with_exchanged(probes):
    """Appends each sample of noise with two inputs of equal shape and type exchanged (src/swapped-tensors.ts)."""
    alike = [
        (a, b)
        for a, b in itertools.combinations(probes, 2)
        if probes[a].shape == probes[b].shape and probes[a].dtype == probes[b].dtype
    ]
    if not alike:
        return probes
    more = {name: [] for name in probes}
    for index in range(-NOISE_SAMPLES, 0):
        a, b = alike[index % len(alike)]
        for name in probes:
            more[name].append(probes[{a: b, b: a}.get(name, name)][index])
    return {name: np.concatenate([array, np.stack(more[name])]) for name, array in probes.items()}


def _noise(random, shape, low, high):
    """About another level and of another strength in each sample: to even noise alone many models give one answer."""
    count, *rest = shape
    one = [1] * len(rest)
    level, strength = random.uniform(-1, 1, (count, *one)), random.uniform(0, 1, (count, *one))
    unit = np.clip(level + strength * random.uniform(-1, 1, shape), -1, 1)
    return low + (unit + 1) / 2 * (high - low)


def _rows(shape, uploaded, large, random):
    """As many rows for each input, whatever its type: one sample has a value of each."""
    dtype = uploaded.dtype
    size = [NOISE_SAMPLES, *shape]
    count_edges = 7 if large else 5
    if dtype.kind not in "fiub":
        # Texts: any that were uploaded.
        return [random.choice(uploaded.ravel(), [count_edges + NOISE_SAMPLES, *shape])]
    low, high = uploaded.min(), uploaded.max()
    edges = [0, 1, -1, low, high] + ([-LARGE, LARGE] if large else [])
    if dtype.kind != "f":
        edges = [min(max(edge, low), high) for edge in edges]
        noise = random.integers(int(low), int(high), size, endpoint=True)
    else:
        # Half of it where activations usually are, half where the data is.
        half = [NOISE_SAMPLES // 2, *shape]
        noise = np.concatenate([_noise(random, half, -1, 1), _noise(random, half, low, high)])
    constant = [np.full([1, *shape], edge).astype(dtype) for edge in edges]
    return [*constant, noise.astype(dtype)]
