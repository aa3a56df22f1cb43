"""The closed formula behind the golden files: a number for every name and index, the same bits in every language.

    h = FNV-1a of the name's bytes, 64 bits
    z = h + (k + 1) * 0x9E3779B97F4A7C15                       (all products and sums modulo 2^64)
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9
    z = (z ^ z >> 27) * 0x94D049BB133111EB
    z =  z ^ z >> 31                                           (the output function of SplitMix64)
    u = (z >> 11) / 2^53                                       in [0, 1)
    s = 2 u - 1                                                in [-1, 1)

A tensor's index k counts in Evenkeel's layout, row by row.
"""

import math

import numpy as np
import torch

MASK = (1 << 64) - 1


def unit(name, count):
    """u for the indices 0 .. count - 1."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53


def tensor(name, shape, center=0.0, reach=1.0):
    """center + reach * s, of the given shape in Evenkeel's layout."""
    values = center + reach * (2.0 * unit(name, math.prod(shape)) - 1.0)
    return torch.from_numpy(values).reshape(shape)


def standard(name, shape):
    """Mean 0 and variance 1: an inner product with it has the size of the other vector."""
    return tensor(name, shape, 0.0, math.sqrt(3.0))


def parameter(path, shape):
    """Matrices and kernels: variance 4/3 over fan-in; a norm's weights and lengths near 1; biases small."""
    name = f"param/{path}"
    if len(shape) > 1:
        return tensor(name, shape, 0.0, 2.0 / math.sqrt(math.prod(shape[:-1])))
    return tensor(name, shape, 1.0, 0.3) if path.endswith(("weight", "_g")) else tensor(name, shape, 0.0, 0.2)


def buffer(path, shape):
    """Running variances and norms near 1, running means near 0."""
    name = f"buffer/{path}"
    return tensor(name, shape, 1.0, 0.5) if path.endswith(("running_var", "running_norm")) else tensor(name, shape, 0.0, 0.3)


def labels(name, count, classes):
    """One of the classes for each sample."""
    return torch.from_numpy((unit(name, count) * classes).astype(np.int64))


def digest(path, values):
    """What a golden file keeps of a tensor: its norm and its inner products with two standard vectors."""
    first, second = (standard(f"{which}/{path}", tuple(values.shape)) for which in ("first", "second"))
    return [float(torch.linalg.vector_norm(values)), float((values * first).sum()), float((values * second).sum())]
