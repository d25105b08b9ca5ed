"""Co-occurrence counts and GloVe's steps by their definitions, one pair and one cell at a time, in float64."""

import itertools

import numpy as np


def count(ids, offsets, words, window, symmetric, by_distance):
    """The dense matrix (V, V): row word, column a word up to `window` to its left (and right), 1 or 1 / distance each."""
    matrix = np.zeros((words, words))
    for start, end in itertools.pairwise(offsets):
        line = ids[start:end]
        for i in range(len(line)):
            for j in range(max(0, i - window), i):
                weight = 1.0 / (i - j) if by_distance else 1.0
                matrix[line[i], line[j]] += weight
                if symmetric:
                    matrix[line[j], line[i]] += weight
    return matrix


def cost(w_VE, b_V, v_VE, c_V, matrix, x_max, alpha):
    """J of Pennington et al. 2014, eq. (8)."""
    rows, columns = np.nonzero(matrix)
    x = matrix[rows, columns]
    error = (w_VE[rows] * v_VE[columns]).sum(axis=1) + b_V[rows] + c_V[columns] - np.log(x)
    return (np.minimum(1.0, (x / x_max) ** alpha) * error**2).sum()


def train(tensors, cells, rate, x_max, alpha):
    """AdaGrad over cells (i, j, x) in order, in place; returns J summed before each step.

    `tensors` holds words and contexts (V, d + 1), the bias last, and the sums of squares of both.
    """
    total = 0.0
    w, v = tensors["words"], tensors["contexts"]
    s, t = tensors["words.squares"], tensors["contexts.squares"]
    for i, j, x in cells:
        weight = min(1.0, (x / x_max) ** alpha)
        error = w[i, :-1] @ v[j, :-1] + w[i, -1] + v[j, -1] - np.log(x)
        total += weight * error**2
        step = rate * weight * error
        g, h = step * np.append(v[j, :-1], 1.0), step * np.append(w[i, :-1], 1.0)
        w[i] -= g / np.sqrt(s[i])
        v[j] -= h / np.sqrt(t[j])
        s[i] += g**2
        t[j] += h**2
    return total
