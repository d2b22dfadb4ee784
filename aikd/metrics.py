"""How good a classifier's logits are: Top-k error, macro F1, and whether its confidence fits (section 4.1).

Everywhere logits are [N, C] (images, classes), labels are [N] integers in 0..C-1, and sums run in float64.
`check` says whether a pair of arrays is so; `evaluate` calls it, the single metrics take it as given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aikd.errors import UserError

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


def check(logits: Floats, labels: Integers) -> None:
    """Makes sure that the logits [N, C] and labels [N] can be scored.

    Raises:
        UserError: shapes or types that do not fit, no images, labels outside 0..C-1, non-finite logits.
    """
    if logits.ndim != 2 or logits.shape[1] == 0 or not np.issubdtype(logits.dtype, np.floating):
        raise UserError(f"logits must be floats [images, classes]; found {logits.dtype} {list(logits.shape)}")
    N, C = logits.shape
    if labels.shape != (N,) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"labels must be integers [{N}], one per row of logits; found {labels.dtype} {list(labels.shape)}"
        )
    if N == 0:
        raise UserError("logits hold no images; at least one is needed")
    (outside,) = np.nonzero((labels < 0) | (labels >= C))
    if outside.size:
        first = outside[0]
        raise UserError(
            f"labels must be 0..{C - 1} for {C} classes; {outside.size} of {N} are not, "
            f"the first is {labels[first]} in row {first} (counted from 0)"
        )
    broken = ~np.isfinite(logits)
    if broken.any():
        raise UserError(
            f"logits must be finite; {broken.sum()} of {logits.size} are not, "
            f"the first in row {broken.any(axis=1).argmax()} (counted from 0)"
        )


def _shifted(logits: Floats, temperature: float) -> NDArray[np.float64]:
    """logits / temperature in float64, moved so that each row's largest is 0: no exponential overflows."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    return scaled


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities [N, C] of logits [N, C] at a temperature (equation 1); equal logits get exactly 1/C."""
    powers = np.exp(_shifted(logits, temperature))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def log_softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Logarithms [N, C] of `softmax`, finite even where the probability itself is too small for a float."""
    shifted = _shifted(logits, temperature)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def _of_labels(values: Floats, labels: Integers) -> Floats:
    """The entry of each row [N, C] that belongs to its label: [N]."""
    return values[np.arange(len(labels)), labels]


def top_k_error(logits: Floats, labels: Integers, k: int) -> float:
    """Share of images whose class is not among the k largest logits, in percent; 0 for k ≥ C.

    A tie goes to the lower class index, as in a stable sort: the rank of the true class counts every strictly
    larger logit and every equal one at a lower index. Rows of equal logits are therefore no lucky hits.
    """
    own = _of_labels(logits, labels)[:, None]
    lower = np.arange(logits.shape[1]) < labels[:, None]
    rank = np.count_nonzero((logits > own) | ((logits == own) & lower), axis=1)
    return 100 * float(np.mean(rank >= k))


def macro_f1(predicted: Integers, labels: Integers, classes: int) -> float:
    """F1 of every class, averaged over all `classes` alike, as a fraction (section 4.1).

    `predicted` and `labels` are [N] class indices. A class that is neither predicted nor present counts as 0.
    """
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    # 2PR / (P + R) = 2 hits / (predicted + present)
    total = np.bincount(predicted, minlength=classes) + np.bincount(labels, minlength=classes)
    return float(np.mean(2 * hits / np.maximum(total, 1)))


def negative_log_likelihood(log_probabilities: Floats, labels: Integers) -> float:
    """Mean over images of -log p(label), in nats, of log-probabilities [N, C] (see `log_softmax`)."""
    return -float(np.mean(_of_labels(log_probabilities, labels)))


def brier(probabilities: Floats, labels: Integers) -> float:
    """Mean over images of the squared difference to the one-hot label, summed over classes: from 0 to 2."""
    difference = probabilities.copy()
    difference[np.arange(len(labels)), labels] -= 1
    return float(np.einsum("nc,nc->n", difference, difference).mean())


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """A reliability diagram (Figures 4 and 5): predictions grouped by confidence into equal bins (lo, hi]."""

    count: NDArray[np.int64]
    """[bins] predictions in each bin."""
    confidence: NDArray[np.float64]
    """[bins] mean probability of the predicted class, a fraction; nan where the bin is empty."""
    accuracy: NDArray[np.float64]
    """[bins] share of right predictions, a fraction; nan where the bin is empty."""

    @property
    def ece(self) -> float:
        """Expected calibration error in percent: |accuracy - confidence|, averaged over predictions."""
        return self._percent(np.abs(self.confidence - self.accuracy))

    @property
    def gap(self) -> float:
        """Mean confidence minus accuracy in percent: positive is over-confident, negative under-confident."""
        return self._percent(self.confidence - self.accuracy)

    def _percent(self, difference: Floats) -> float:
        return 100 * float(np.nansum(self.count * difference) / self.count.sum())

    @classmethod
    def _of_sums(cls, count: Integers, confidence: NDArray[Any], hits: NDArray[Any]) -> Self:
        """From the sums of confidences and of right predictions in each bin."""
        filled = np.where(count > 0, count, np.nan)
        return cls(count.astype(np.int64), confidence / filled, hits / filled)

    @classmethod
    def pool(cls, runs: Sequence[Self]) -> Self:
        """The bins that all predictions of several runs fill together.

        Raises:
            UserError: no runs, or runs with different numbers of bins.
        """
        sizes = sorted({len(run.count) for run in runs})
        if len(sizes) != 1:
            found = f"found {sizes}" if sizes else "there are none"
            raise UserError(f"reliability bins can be pooled over runs with the same number of bins; {found}")
        count = np.array([run.count for run in runs])
        confidence = np.nansum([run.count * run.confidence for run in runs], axis=0)
        hits = np.nansum([run.count * run.accuracy for run in runs], axis=0)
        return cls._of_sums(count.sum(axis=0), confidence, hits)

    def to_json(self) -> dict[str, list[Any]]:
        """Plain lists; the nan of an empty bin becomes None, which JSON can write."""
        return {
            "count": self.count.tolist(),
            "confidence": [None if np.isnan(value) else value for value in self.confidence.tolist()],
            "accuracy": [None if np.isnan(value) else value for value in self.accuracy.tolist()],
        }

    @classmethod
    def from_json(cls, stored: dict[str, list[Any]]) -> Self:
        """The inverse of `to_json`.

        Raises:
            UserError: a list is missing, or the lists differ in length.
        """
        lengths = {key: len(stored.get(key, [])) for key in ("count", "confidence", "accuracy")}
        if 0 in lengths.values() or len(set(lengths.values())) != 1:
            raise UserError(f"reliability bins need three lists of one length; found lengths {lengths}")
        return cls(
            np.array(stored["count"], dtype=np.int64),
            np.array(stored["confidence"], dtype=np.float64),
            np.array(stored["accuracy"], dtype=np.float64),
        )


def reliability(probabilities: Floats, labels: Integers, bins: int = 15) -> ReliabilityBins:
    """Groups the predictions of probabilities [N, C] by confidence, the probability of the predicted class.

    Bin b holds confidences in (b/bins, (b+1)/bins]; a confidence of 0, which no softmax gives, is in bin 0.
    """
    predicted = probabilities.argmax(axis=1)
    confidence = _of_labels(probabilities, predicted)
    # k/bins is the float nearest to the edge, which multiples of a rounded 1/bins are not.
    where = np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")
    return ReliabilityBins._of_sums(
        np.bincount(where, minlength=bins),
        np.bincount(where, weights=confidence, minlength=bins),
        np.bincount(where, weights=predicted == labels, minlength=bins),
    )


def calibration_scores(
    logits: Floats, labels: Integers, bins: int = 15
) -> tuple[dict[str, float], ReliabilityBins]:
    """The metrics that a temperature changes, `ece`, `gap` (percent), `nll` (nats), `brier`; and the bins."""
    probabilities = softmax(logits)
    diagram = reliability(probabilities, labels, bins)
    scores = {
        "ece": diagram.ece,
        "gap": diagram.gap,
        "nll": negative_log_likelihood(log_softmax(logits), labels),
        "brier": brier(probabilities, labels),
    }
    return scores, diagram


def evaluate(logits: Floats, labels: Integers, bins: int = 15) -> tuple[dict[str, float], ReliabilityBins]:
    """Every metric of Tables 2 and 3, with the signed gap, NLL and Brier score beside them; and the bins.

    Keys: `top1_error`, `top5_error`, `ece`, `gap` in percent, `f1` a fraction, `nll` in nats, `brier`.

    Raises:
        UserError: the arrays cannot be scored, see `check`.
    """
    check(logits, labels)
    scores, diagram = calibration_scores(logits, labels, bins)
    decisions = {
        "top1_error": top_k_error(logits, labels, 1),
        "top5_error": top_k_error(logits, labels, 5),
        "f1": macro_f1(logits.argmax(axis=1), labels, logits.shape[1]),
    }
    return decisions | scores, diagram
