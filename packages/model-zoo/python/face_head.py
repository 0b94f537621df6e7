"""Logistic regression for a last layer, exact and fast where there are more features than samples."""

import sys

import numpy as np


def train_head(features, labels, ridge=3.0, steps=15):
    """Newton's method, solved for one weight per sample: the solution is a combination of the samples.

    Returns [kernel [features, 1], bias [1]] of a sigmoid unit.
    """
    rows = np.hstack([features, np.ones((len(features), 1))]).astype(np.float64)
    products = rows @ rows.T
    weights = np.zeros(len(rows))
    for _ in range(steps):
        logits = products @ weights
        probability = 1 / (1 + np.exp(-logits))
        curvature = np.maximum(probability * (1 - probability), 1e-6)
        target = logits + (labels - probability) / curvature
        weights = np.linalg.solve(products + ridge * np.diag(1 / curvature), target)
    solution = rows.T @ weights
    return [solution[:-1, None].astype(np.float32), solution[-1:].astype(np.float32)]


def check_accuracy(name, probabilities, labels, least=0.8):
    """A model that does not know its task proves nothing when it is converted."""
    accuracy = float(np.mean((np.ravel(probabilities) >= 0.5) == (np.ravel(labels) == 1)))
    print(f"{name}: held-out accuracy {accuracy:.3f}", file=sys.stderr)
    if accuracy < least:
        raise SystemExit(f"{name} has a held-out accuracy of {accuracy:.3f}; at least {least} is needed")
