"""Resizing of pictures, in an arithmetic that every language with IEEE doubles can repeat.

A picture is resized along its width and then along its height. Along each, an output pixel is a sum of `taps` input
pixels times weights: the weights are computed in doubles and rounded to float32, products and sums are doubles, added
from the first tap to the last, and nothing is rounded or clipped in between or after. All kernels place pixel centres
at halves; nearest, and bilinear and bicubic without antialias, compute positions in float32. What they answer is what
tf.image.resize answers to float pixels (test/images.test.ts):

  nearest   the pixel under the centre. antialias changes nothing.
  bilinear  two taps, edge pixels repeated.
  bicubic   Keys' kernel, a = -1/2; taps outside of the picture are left out. TensorFlow reads it from a table of 1024
            steps where it does not antialias, so the same steps are taken here.
  lanczos3  three lobes, taps outside left out.
  area      the mean over what an output pixel covers, of any size. antialias changes nothing.

`antialias` widens bilinear, bicubic and lanczos3 by the factor by which the picture shrinks, as Pillow always does.
"""

import numpy as np

BLOCK_ELEMENTS = 1 << 20
BICUBIC_STEPS = 1024
HALF = np.float32(0.5)


def resize(pixels, height, width, kernel, antialias):
    """[rows, columns, channels] of any real type to [height, width, channels] of float64."""
    return _along_height(_along_width(pixels, width, kernel, antialias), height, kernel, antialias)


def _along_width(pixels, width, kernel, antialias):
    rows, columns, channels = pixels.shape
    if columns == width:
        return pixels
    first, weights = taps_of(kernel, antialias, columns, width)
    resized = np.empty((rows, width, channels))
    # In blocks: a picture as doubles would take eight times the memory that it takes as bytes.
    step = max(1, BLOCK_ELEMENTS // (columns * channels))
    for start in range(0, rows, step):
        block = pixels[start : start + step].astype(np.float64)
        lines = block.transpose(1, 0, 2).reshape(columns, -1)
        summed = _sum_taps(lines, first, weights).reshape(width, len(block), channels)
        resized[start : start + step] = summed.transpose(1, 0, 2)
    return resized


def _along_height(pixels, height, kernel, antialias):
    rows, columns, channels = pixels.shape
    lines = pixels.reshape(rows, -1).astype(np.float64, copy=False)
    if rows == height:
        return lines.reshape(pixels.shape)
    return _sum_taps(lines, *taps_of(kernel, antialias, rows, height)).reshape(height, columns, channels)


def _sum_taps(lines, first, weights):
    summed = np.zeros((len(first), lines.shape[1]))
    for tap in range(weights.shape[1]):
        summed += lines[np.clip(first + tap, 0, len(lines) - 1)] * weights[:, tap, None]
    return summed


def taps_of(kernel, antialias, size, target):
    """(first [target], weights [target, taps]): output i is the sum over k of weights[i, k] * input[first[i] + k].

    Inputs beyond an edge stand for the pixel at the edge; but for bilinear's their weights are zero.
    """
    if kernel == "area":
        first, weights = _area(size, target)
    elif kernel != "nearest" and (antialias or kernel == "lanczos3"):
        first, weights = _spread(kernel, antialias, size, target)
    else:
        first, weights = _sample(kernel, size, target)
    return first, weights.astype(np.float32).astype(np.float64)


def _sample(kernel, size, target):
    # float32 as in TensorFlow: where a position lies between two pixels or steps, this decides.
    position = (np.arange(target, dtype=np.float32) + HALF) * (np.float32(size) / np.float32(target))
    if kernel == "nearest":
        return np.floor(position).astype(np.int64), np.ones((target, 1))
    position -= HALF
    whole = np.floor(position)
    first, part = whole.astype(np.int64), (position - whole).astype(np.float64)
    if kernel == "bilinear":
        return first, np.stack([1 - part, part], axis=1)
    part = np.rint(part * BICUBIC_STEPS) / BICUBIC_STEPS
    return first - 1, _inside(_cubic(part[:, None] + [[1, 0, -1, -2]]), first - 1, size)


def _area(size, target):
    # In units of 1/target of an input pixel, all edges are whole numbers.
    start = np.arange(target) * size
    first = start // target
    taps = -(-size // target) + 1
    edges = (first[:, None] + np.arange(taps + 1)) * target
    covered = np.minimum(edges[:, 1:], (start + size)[:, None]) - np.maximum(edges[:, :-1], start[:, None])
    return first, np.maximum(covered, 0) / size


def _spread(kernel, antialias, size, target):
    radius, function = {"bilinear": (1, _triangle), "bicubic": (2, _cubic), "lanczos3": (3, _lanczos3)}[kernel]
    widening = max(size / target, 1.0) if antialias else 1.0
    centre = (np.arange(target) + 0.5) * (size / target)
    first = np.ceil(centre - radius * widening - 0.5).astype(np.int64)
    taps = int(np.floor(2 * radius * widening)) + 1
    distance = (first[:, None] + np.arange(taps) + 0.5 - centre[:, None]) / widening
    return first, _inside(function(distance), first, size)


def _inside(weights, first, size):
    source = first[:, None] + np.arange(weights.shape[1])
    kept = np.where((source >= 0) & (source < size), weights, 0)
    return kept / kept.sum(axis=1, keepdims=True)


def _triangle(distance):
    return np.maximum(1 - np.abs(distance), 0)


def _cubic(distance):
    """Keys, "Cubic convolution interpolation for digital image processing" (1981), a = -1/2."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _lanczos3(distance):
    x = np.abs(distance)
    turns = np.pi * np.where(x == 0, 1, x)
    return np.where(x == 0, 1, np.where(x < 3, 3 * np.sin(turns) * np.sin(turns / 3) / (turns * turns), 0))
