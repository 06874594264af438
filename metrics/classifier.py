"""Whether a classifier can tell samples of the model from frames of MD, and by which residues.

The classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017, arXiv:1610.06545) on sines and cosines of torsions: what
makes a conformation, without a superposition. Bond lengths are no features: many models have ideal ones, which would
tell them at once and say nothing of their conformations.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ebabench.metrics.slow_torsions import features
from ebabench.metrics.weighting import systematic
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray, evenly_spaced

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair

FOLDS = 5
_MOST = 1000
_CONCENTRATION = 8.0  # of a von Mises kernel: a width of 20 degrees
_spec = partial(
    MetricSpec, version=1, unit="", better="lower", aggregate="median", needs="backbone", depends_on_samples=True,
    paper="arXiv:1610.06545",
)  # fmt: skip


class Labelled(NamedTuple):
    """Distinct conformations of both sides, in an order that depends on nothing but their values.

    Attributes:
        features: [K, D].
        of_model: [K], whether a conformation is the model's.
        weights: [K], of sum 1 on either side.
        frames: Number of frames of MD, copies included.
    """

    features: FloatArray
    of_model: npt.NDArray[np.bool_]
    weights: FloatArray
    frames: int


def labelled(model: FloatArray, md: FloatArray, weights: FloatArray | None = None) -> Labelled:
    """Return both sides as one set. Equal rows of one side become one row of their common weight.

    Args:
        model: [n, D].
        md: [m, D], of equal weights.
        weights: [n], weights of ``model``, of sum 1; None for equal weights.
    """
    parts = []
    for rows, own in ((model, weights), (md, None)):
        distinct, which = np.unique(rows, axis=0, return_inverse=True)
        mass = np.full(len(rows), 1 / len(rows)) if own is None else own
        parts.append((distinct, np.bincount(which.ravel(), mass, len(distinct))))
    features = np.concatenate([rows for rows, _ in parts])
    of_model = np.repeat([True, False], [len(rows) for rows, _ in parts])
    masses = np.concatenate([mass for _, mass in parts])
    order = np.argsort(features[:, 0], kind="stable")
    return Labelled(features[order], of_model[order], masses[order], len(md))


def cross_validated_auc(data: Labelled) -> float:
    """Return the area under the ROC curve of a classifier on conformations that it was not trained on; 0.5 is chance.

    A support vector machine (C = 1 per conformation of average weight) predicts every fifth conformation from the
    others. Its kernel is exp(sum over T torsions of 2 (cos(difference) - 1) / T). Conformations are sorted by the first
    feature, and the k-th is in fold k modulo 5.

    Args:
        data: Both sides.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.svm import SVC

    from ebabench.metrics.kernels.radial import radial_kernels

    weights = data.weights * data.frames
    scores, fold = np.empty(len(weights)), np.arange(len(weights)) % FOLDS
    trained, predicting = radial_kernels(data.features, 2 / data.features.shape[1])
    for k in range(FOLDS):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        machine = SVC(C=1.0, kernel="precomputed")
        machine.fit(trained[np.ix_(train, train)], data.of_model[train], weights[train])
        scores[test] = machine.decision_function(predicting[np.ix_(test, train)])
    return float(roc_auc_score(data.of_model, scores, sample_weight=data.weights))


def kernel_auc(data: Labelled) -> float:
    """Return the area under the ROC curve of a kernel density classifier, each conformation left out in turn.

    A conformation's score is the share of the model in the density of the others around it. The kernel is
    exp(8 sum over torsions of (cos(difference) - 1)), a width of 20 degrees.

    Args:
        data: Both sides; the features are sines and cosines of torsions.
    """
    torsions = data.features.shape[1] / 2
    near = np.exp(_CONCENTRATION * (data.features @ data.features.T - torsions))
    np.fill_diagonal(near, 0)
    model, md = (near @ np.where(data.of_model == side, data.weights, 0) for side in (True, False))
    # The conformation itself is left out of its own side, which then weighs the more.
    model, md = (
        density / np.where(data.of_model == side, 1 - data.weights, 1) for density, side in ((model, True), (md, False))
    )
    total = model + md
    with np.errstate(divide="ignore", invalid="ignore"):
        return weighted_auc(np.where(total > 0, model / total, 0.5), data.of_model, data.weights)


def weighted_auc(scores: FloatArray, positive: npt.NDArray[np.bool_], weights: FloatArray) -> float:
    """Return the chance that a positive has a higher score than a negative, plus half of that of a tie.

    Args:
        scores: [K].
        positive: [K].
        weights: [K], of sum 1 among positives and among negatives.
    """
    levels, which = np.unique(scores, return_inverse=True)
    mass = [np.bincount(which, np.where(positive == side, weights, 0), len(levels)) for side in (True, False)]
    below = np.cumsum(mass[1]) - mass[1]
    return float(mass[0] @ (below + mass[1] / 2))


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair: 2 AUC - 1, which is 0 by chance and 1 for a sure classifier.

    MD has as many frames as the model, evenly spaced over its replicas. Of more than 1,000 samples, 1,000 are taken:
    evenly spaced ones, or by systematic resampling where weights are unequal.
    """
    import sklearn.svm  # noqa: F401  (it takes a second, in which another thread reads the reference)

    keys = [spec.key for spec in CLASSIFIER.specs]
    if lack := pair.unavailable_reason("backbone"):
        return dict.fromkeys(keys, lack)
    if not len(pair.torsions.kind):
        return dict.fromkeys(keys, NotAvailable("no torsions"))
    weights, count, frames = pair.weights, min(len(pair), _MOST), sum(pair.replica_lengths)
    samples = evenly_spaced(len(pair), count)
    if weights is not None and len(pair) > _MOST:
        samples, weights = systematic(weights, _MOST), None
    chosen = evenly_spaced(frames, count)
    angles = pair.of_reference("classifier", 1, lambda: {"angles": pair.md_torsions(chosen)})["angles"]
    model, md = features(pair.model_torsions[samples]), features(angles)
    data, size = labelled(model, md, weights), len(pair.torsions.kind)
    if min(data.of_model.sum(), (~data.of_model).sum()) < FOLDS:
        return dict.fromkeys(keys, NotAvailable(f"fewer than {FOLDS} distinct conformations"))
    profile = np.full(len(pair.residue_index), np.nan)
    for k, residue in enumerate(pair.residue_index):
        own = np.flatnonzero(pair.torsions.residue == residue)
        if len(own):
            columns = np.concatenate([own, own + size])
            profile[k] = kernel_auc(data._replace(features=data.features[:, columns]))
    return {"classifier_skill": 2 * cross_validated_auc(data) - 1, "classifier_residue_skill": 2 * profile - 1}


CLASSIFIER = Metric(
    "classifier",
    (
        _spec("classifier_skill", title="Skill of a classifier of samples against frames of MD, 2 AUC - 1",
              default_view=("peptides",),
              means="Whether a classifier can tell the model's conformations from frames of MD by the sines and "
                    "cosines of all torsions (classifier two-sample test, Lopez-Paz and Oquab 2017): 2 AUC - 1, "
                    "where AUC is the area under the ROC curve. It is 0 if the classifier cannot tell, 1 if it "
                    "always can. MD is n frames, evenly spaced (at most 1,000). A support vector machine of scikit- "
                    "learn (C = 1, kernel exp(2 Σ (cos Δ - 1) / T) over the T torsions) predicts each fifth of the "
                    "conformations from the rest. Copies become one conformation of their common weight. "
                    "Conformations are sorted by their first feature (the sine of the first torsion), and the k-th "
                    "is in fold k modulo 5.",
              cannot_see="Bond lengths and angles are no features. It does not say where the difference is: "
                         "`classifier_residue_skill` does. MD replicas that are not converged are told apart, too: "
                         "compare it with MD against itself."),
        _spec("classifier_residue_skill", title="The same by the torsions of one residue", aggregate=None,
              means="`classifier_skill` for the torsions of one residue, one value per residue: a kernel density "
                    "classifier with the kernel exp(8 Σ (cos Δ - 1)), leaving out one conformation at a time. It "
                    "says by which residues the ensemble is told.",
              cannot_see="It does not see differences in how residues move together."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
