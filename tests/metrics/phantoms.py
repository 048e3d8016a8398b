"""Score phantoms: scores whose error rates and dependence between comparisons are known exactly."""

import numpy as np
from scipy.special import ndtri


def pair_ends(n):
    """Return the identities of all unordered pairs, one image each."""
    return np.triu_indices(n, 1)


def errors_of_fair_cell(rng, n, fmr, share, repetitions):
    """Return (repetitions, n, n) symmetric 0/1 errors with a zero diagonal.

    score = a_u + a_v + noise with total variance 1, of which `share` is due to the two identities; an error is a score
    at or above the threshold that accepts a share `fmr` of the population.
    """
    effect = rng.standard_normal((repetitions, n), dtype=np.float32) * np.float32(np.sqrt(share / 2))
    noise = rng.standard_normal((repetitions, n, n), dtype=np.float32) * np.float32(np.sqrt(1 - share))
    scores = effect[:, :, None] + effect[:, None, :] + noise
    errors = np.triu(scores >= -ndtri(fmr), 1).astype(np.float32)
    return errors + errors.transpose(0, 2, 1)


def rates_and_variances(errors):
    """Return errors k and, per repetition, `cell_variance` and `vertex_variance` for one image per identity."""
    n = errors.shape[1]
    n_pairs = n * (n - 1) / 2
    per_identity = errors.sum(2, dtype=np.float64)
    k = per_identity.sum(1) / 2
    p = k / n_pairs
    shared = ((per_identity - (n - 1) * p[:, None]) ** 2).sum(1)
    squares = k - 2 * k * p + p**2 * n_pairs
    cell = np.maximum((squares + np.maximum(0, shared - 2 * squares)) / n_pairs**2, p * (1 - p) / n_pairs)
    vertex = (1 - 1 / n) * ((1 - 2 / n) * shared + squares) / n_pairs**2
    return k, cell, vertex
