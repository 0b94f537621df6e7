"""Inputs that no data set has: zeros, ones, the ends of the range, noise. They find what is broken and prove nothing."""

import numpy as np

SEED = 20241107
NOISE_SAMPLES = 10
LARGE = 1000.0
# Of data that is small itself, such as normalized pixels, large values say nothing.
LARGE_FROM = 100.0


def generate_probes(inputs, uploaded):
    """{input name: array [samples, ...]}: zeros, ones, minus ones, the lowest and the highest value uploaded, large
    values where those uploaded are large, and noise, which differs from input to input so that swapped inputs show.

    `inputs` have fixed shapes; `uploaded` maps input names to arrays. Whole numbers stay within those uploaded, since
    others may be no index of anything.
    """
    random = np.random.default_rng(SEED)
    large = any(
        array.dtype.kind == "f" and np.max(np.abs(array), initial=0) >= LARGE_FROM for array in uploaded.values()
    )
    return {
        tensor.name: np.concatenate(_rows(tensor.shape[1:], uploaded[tensor.name], large, random)) for tensor in inputs
    }


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
        noise = np.concatenate([random.uniform(-1, 1, half), random.uniform(low, high, half)])
    constant = [np.full([1, *shape], edge).astype(dtype) for edge in edges]
    return [*constant, noise.astype(dtype)]
