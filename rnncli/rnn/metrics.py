"""Accuracy, precision, recall, F1 and the confusion matrix from labels and predictions."""

import numpy as np
from numpy.typing import NDArray

from rnncli.results import Averages, ClassScore, EvalResult


def confusion_matrix(true_n: NDArray[np.int32], predicted_n: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts (C, C), rows the true label, columns the predicted one."""
    flat = np.bincount(true_n.astype(np.int64) * classes + predicted_n, minlength=classes * classes)
    return flat.reshape(classes, classes)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """part / whole, 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _f1(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratio(2.0 * precision * recall, precision + recall)


def evaluate(
    true_n: NDArray[np.int32], predicted_n: NDArray[np.int64], loss_n: NDArray[np.float64], labels: list[str]
) -> EvalResult:
    """All scores of single-label classification; a class never predicted and never true scores 0.

    Macro averages over the classes that have support or predictions weigh each class alike; micro averages pool all
    decisions (equal to accuracy here); weighted averages weigh a class by its support.
    """
    matrix = confusion_matrix(true_n, predicted_n, len(labels))
    hits = np.diag(matrix).astype(np.float64)
    support, predicted = matrix.sum(axis=1).astype(np.float64), matrix.sum(axis=0).astype(np.float64)
    precision, recall = _ratio(hits, predicted), _ratio(hits, support)
    f1 = _f1(precision, recall)
    present = (support + predicted) > 0
    share = support / support.sum()
    accuracy = float(hits.sum() / support.sum())
    macro = Averages(*(float(v[present].mean()) for v in (precision, recall, f1)))
    weighted = Averages(*(float((v * share).sum()) for v in (precision, recall, f1)))
    per_class = [
        ClassScore(label, float(precision[c]), float(recall[c]), float(f1[c]), int(support[c]))
        for c, label in enumerate(labels)
    ]
    return EvalResult(
        n=int(support.sum()),
        loss=float(loss_n.mean()),
        accuracy=accuracy,
        macro_f1=macro.f1,
        macro=macro,
        micro=Averages(accuracy, accuracy, accuracy),
        weighted=weighted,
        per_class=per_class,
        labels=labels,
        confusion=[[int(x) for x in row] for row in matrix],
    )
