"""Skip-gram with negative sampling by its formulas, one centre word at a time, in the precision of its arguments."""

import numpy as np

BLOCK = 6  # outputs that are trained together; a centre with more takes them one block after the other


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def loss(x_CE, y_KE, labels_K):
    """-sum over contexts and outputs of log sigmoid(x . y) where the label is 1, log sigmoid(-x . y) where it is 0."""
    signs = 2.0 * labels_K - 1.0
    return np.logaddexp(0.0, -signs * (x_CE @ y_KE.T)).sum()


def gradients(x_CE, y_KE, labels_K):
    """(dloss/dx, dloss/dy)."""
    error_CK = sigmoid(x_CE @ y_KE.T) - labels_K
    return error_CK @ y_KE, error_CK.T @ x_CE


def step(x_VE, y_VE, contexts, outputs, lr, code=1):
    """Train one centre in place; bit k of `code` says whether outputs[k] is to be predicted (1: only the first, the
    centre), -1 is no output. Returns the loss before the steps.

    Errors are taken from the rows before the block; contexts move two by two, y learns from what they were before.
    """
    total = 0.0
    for first in range(0, len(outputs), BLOCK):
        block = [(o, float(code >> (first + k) & 1)) for k, o in enumerate(outputs[first : first + BLOCK]) if o >= 0]
        rows, labels = np.array([o for o, _ in block], int), np.array([label for _, label in block])
        if not len(rows) or not len(contexts):
            continue
        total += loss(x_VE[contexts], y_VE[rows], labels)
        error_CK = (labels - sigmoid(x_VE[contexts] @ y_VE[rows].T)).astype(x_VE.dtype)
        old_KE, dy_KE = y_VE[rows].copy(), np.zeros_like(y_VE[rows])
        for c in range(0, len(contexts), 2):
            pair = list(contexts[c : c + 2])
            before = x_VE[pair].copy()
            for i, word in enumerate(pair):
                x_VE[word] += lr * error_CK[c + i] @ old_KE
                dy_KE += lr * np.outer(error_CK[c + i], before[i])
        for k, row in enumerate(rows):
            y_VE[row] += dy_KE[k]
    return total


def cbow_loss(h_E, y_KE, labels_K):
    """-log sigmoid(h . y) where the label is 1, -log sigmoid(-h . y) where it is 0, summed."""
    return np.logaddexp(0.0, -(2.0 * labels_K - 1.0) * (y_KE @ h_E)).sum()


def cbow_step(x_VE, y_VE, contexts, outputs, lr):
    """Train one centre in place; outputs[0] is the centre, -1 is no word. Returns the loss before the steps.

    Every context takes the whole step of the mean h; outputs of a block are trained one after the other.
    """
    h, dh, total = x_VE[contexts].mean(axis=0), np.zeros(x_VE.shape[1]), 0.0
    for first in range(0, len(outputs), BLOCK):
        block = [(o, float(first + k == 0)) for k, o in enumerate(outputs[first : first + BLOCK]) if o >= 0]
        if not block:
            continue
        rows, labels = np.array([o for o, _ in block], int), np.array([label for _, label in block])
        total += cbow_loss(h, y_VE[rows], labels)
        error_K = labels - sigmoid(y_VE[rows] @ h)
        dh += lr * error_K @ y_VE[rows]
        for row, error in zip(rows, error_K, strict=True):
            y_VE[row] += lr * error * h
    for word in contexts:
        x_VE[word] += dh
    return total


def softmax_step(x_VE, y_VE, words, low, high, cbow, lr, batch):
    """Exact softmax over all predictions of a span, `batch` of them at a time, in place; returns (loss, predictions)."""
    predictions = []
    for i in range(len(words)):
        contexts = [j for j in range(low[i], high[i]) if j != i]
        if cbow and contexts:
            predictions.append((words[contexts], words[i]))
        elif not cbow:
            predictions += [(words[[i]], words[j]) for j in contexts]
    total = 0.0
    for first in range(0, len(predictions), batch):
        steps_x, steps_y = np.zeros_like(x_VE), np.zeros_like(y_VE)
        for inputs, target in predictions[first : first + batch]:
            h = x_VE[inputs].mean(axis=0)
            scores = y_VE @ h
            log_sum = np.log(np.exp(scores - scores.max()).sum()) + scores.max()
            total += log_sum - scores[target]
            error = np.exp(scores - log_sum)
            error[target] -= 1.0
            np.add.at(steps_x, inputs, error @ y_VE)  # each context takes the whole step of h
            steps_y += np.outer(error, h)
        x_VE -= lr * steps_x
        y_VE -= lr * steps_y
    return total, len(predictions)


def subwords_span(z_RE, y_VE, parts, low, high, outputs, window, lr, cbow):
    """Train all centres on words that are means of parts, in place; returns the loss before each step.

    A word is composed when a centre comes within `window` of it, and gives its whole step to every part when as many
    later words have been composed as two windows hold.
    """
    words = len(parts)
    x, before = np.zeros((words, z_RE.shape[1])), np.zeros((words, z_RE.shape[1]))
    total, entered, left = 0.0, 0, 0

    def leave():
        for row in parts[left]:
            z_RE[row] += x[left] - before[left]

    for i in range(words):
        while entered < min(i + window + 1, words):
            if entered - left == 2 * window + 1:
                leave()
                left += 1
            x[entered] = before[entered] = z_RE[parts[entered]].mean(axis=0)
            entered += 1
        contexts = [c for c in range(low[i], high[i]) if c != i]
        if contexts:
            total += (cbow_step if cbow else step)(x, y_VE, contexts, outputs[i], lr)
    while left < entered:
        leave()
        left += 1
    return total
