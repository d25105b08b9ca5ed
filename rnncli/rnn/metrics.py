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


def evaluate_sets(
    true_nC: NDArray[np.bool_], probabilities_nC: NDArray[np.float64], labels: list[str], threshold: float = 0.5
) -> EvalResult:
    """All scores of multi-label classification; a label is given where its probability is at least `threshold`.

    Accuracy is the share of rows whose labels are all right; micro averages pool the decisions of all labels; there is
    no confusion matrix.
    """
    given_nC = probabilities_nC >= threshold
    hits = (true_nC & given_nC).sum(axis=0).astype(np.float64)
    predicted, support = given_nC.sum(axis=0).astype(np.float64), true_nC.sum(axis=0).astype(np.float64)
    precision, recall = _ratio(hits, predicted), _ratio(hits, support)
    f1 = _f1(precision, recall)
    present = (support + predicted) > 0
    share = _ratio(support, np.full_like(support, support.sum()))

    def mean(v: NDArray[np.float64]) -> float:
        return float(v[present].mean()) if present.any() else 0.0

    pooled = [_ratio(hits.sum(keepdims=True), whole.sum(keepdims=True)) for whole in (predicted, support)]
    micro = Averages(float(pooled[0][0]), float(pooled[1][0]), float(_f1(*pooled)[0]))
    macro = Averages(mean(precision), mean(recall), mean(f1))
    chosen = np.where(true_nC, probabilities_nC, 1.0 - probabilities_nC)
    losses = -np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).sum(axis=1)
    return EvalResult(
        n=len(true_nC),
        loss=float(losses.mean()),
        accuracy=float((true_nC == given_nC).all(axis=1).mean()),
        macro_f1=macro.f1,
        macro=macro,
        micro=micro,
        weighted=Averages(*(float((v * share).sum()) for v in (precision, recall, f1))),
        per_class=[
            ClassScore(label, float(precision[c]), float(recall[c]), float(f1[c]), int(support[c]))
            for c, label in enumerate(labels)
        ],
        labels=labels,
        confusion=[],
    )
