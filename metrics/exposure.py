"""Side chains that come to the surface, alone and in concert.

Definitions of exposed_residue_j and exposed_mi_rho: Jing et al., ICML 2024 (arXiv:2402.04845).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ebabench.metrics.contacts import jaccard
from ebabench.metrics.correlation import pearson, spearman
from ebabench.metrics.weighting import mean
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, Positions

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair

EXPOSED = 0.1
_NOISE = 1e-12  # nats: the mutual information of two values in a thousand frames is a million times this
_VARIES = 0.05
_FEWEST_PAIRS = 10

_BoolArray = npt.NDArray[np.bool_]
_spec = partial(
    MetricSpec, version=1, unit="", better="higher", aggregate="median", needs="heavy", paper="arXiv:2402.04845",
    depends_on_samples=True,
)  # fmt: skip


def mutual_information(indicator: _BoolArray, weights: FloatArray | None = None) -> FloatArray:
    """Return the mutual information [R, R] in nats of every two columns of indicator [S, R]; the diagonal is 0.

    The arithmetic is the published one, to the order of its operations. Where a column is constant the result is 0 but
    for rounding, and the published rank correlation ranks that rounding.

    Args:
        indicator: [S, R].
        weights: [S], of sum 1; None for equal weights.
    """
    samples, residues = indicator.shape
    if weights is None:
        on = indicator.sum(0)
        both = (indicator.T.astype(np.float64) @ indicator.astype(np.float64)).round()
    else:
        samples, on = 1, mean(indicator, weights)
        both = (indicator.T * weights) @ indicator
    counts = np.empty((residues, residues, 2, 2))
    counts[:, :, 1, 1] = both
    counts[:, :, 1, 0] = on[:, None] - both
    counts[:, :, 0, 1] = on[None, :] - both
    counts[:, :, 0, 0] = samples - on[:, None] - on[None, :] + both
    joint = counts / samples
    single = np.stack([1 - on / samples, on / samples], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = joint * np.log(joint / (single[None, :, None, :] * single[:, None, :, None]))
    information: FloatArray = np.nansum(terms, axis=(-1, -2))
    np.fill_diagonal(information, 0)
    return information


def expected_mutual_information(on: npt.NDArray[np.int64], samples: int) -> FloatArray:
    """Return the mutual information [R, R] in nats that is expected of columns whose entries are shuffled one by one.

    With both sums fixed, the number of samples in which two shuffled columns are both true has a hypergeometric
    distribution, over which this is the exact mean (Vinh, Epps and Bailey, JMLR 11, 2837 (2010)).

    Args:
        on: [R], how often each column is true.
        samples: Number of samples.
    """
    from scipy.special import gammaln, xlogy

    sums, which = np.unique(on, return_inverse=True)
    logs = gammaln(np.arange(samples + 1) + 1.0)
    expected = np.zeros((len(sums), len(sums)))
    for i, a in enumerate(sums.tolist()):
        for j, b in enumerate(sums.tolist()):
            both = np.arange(max(a + b - samples, 0), min(a, b) + 1)
            chance = np.exp(
                logs[a] - logs[both] - logs[a - both] + logs[samples - a] - logs[b - both]
                - logs[samples - a - b + both] + logs[b] + logs[samples - b] - logs[samples]
            )  # fmt: skip
            cells = ((both, a, b), (a - both, a, samples - b), (b - both, samples - a, b),
                     (samples - a - b + both, samples - a, samples - b))  # fmt: skip
            information = sum(xlogy(n / samples, n * samples / (p * q)) for n, p, q in cells if p * q)
            expected[i, j] = (chance * information).sum()
    return np.asarray(expected[np.ix_(which, which)])


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair; MD is draw C."""
    if lack := pair.unavailable_reason("heavy"):
        return dict.fromkeys((spec.key for spec in EXPOSURE.specs), lack)
    from ebabench.metrics.kernels.surface import exposed

    # The published scorer reads the model's positions in the reference's order under names in the model's own.
    order = pair.model_order if pair.protocol == "alphaflow" else slice(None)
    atoms = Atoms(pair.atoms.name[order], pair.atoms.residue_name[order], pair.atoms.residue[order])

    def of_frames(atoms: Atoms, frames: Positions) -> _BoolArray:
        single = len(frames) == 1  # of a reference of one frame
        name = "exposed, single" if single else "exposed"
        return pair.by_frame(name, atoms, frames, partial(exposed, atoms, single=single))

    buried = ~exposed(pair.atoms, pair.native[None])[0]
    model = of_frames(atoms, pair.model)
    once, again = np.unique(pair.md_draw_1000, return_inverse=True)
    distinct = pair.of_reference("exposed", 2, lambda: {"exposed": of_frames(pair.atoms, pair.md(once))})["exposed"]
    md = distinct[again]
    noisy = [mutual_information(model, pair.weights), mutual_information(md)]
    exact = [np.where(np.abs(side) < _NOISE, 0, side) for side in noisy]
    published: Value = spearman(*noisy)
    if pair.weights is not None:
        published = NotAvailable("the published figure ranks the rounding of equal weights; see exposed_mi_rho_exact")
    return {
        "exposed_residue_j": jaccard(buried & (mean(model, pair.weights) > EXPOSED), buried & (md.mean(0) > EXPOSED)),
        "exposed_mi_rho": published,
        "exposed_mi_rho_exact": spearman(*exact),
        "exposure_coupling_r": _coupling(pair, model, distinct),
    }


def _coupling(pair: Pair, model: _BoolArray, md: _BoolArray) -> Value:
    """Return Pearson's r of the excess mutual information of model and MD, over pairs of residues that vary in MD.

    Most pairs are not coupled. A rank correlation would rank their noise, and miss the few that are.
    """
    if pair.weights is not None:
        return NotAvailable("the expectation under shuffling is known for equal weights only")
    share = md.mean(0)
    varies = np.flatnonzero((share >= _VARIES) & (share <= 1 - _VARIES))
    first, second = np.triu_indices(len(varies), 1)
    if len(first) < _FEWEST_PAIRS:
        return NotAvailable(f"{len(first)} pairs of residues vary in the reference; {_FEWEST_PAIRS} are needed")
    of_md = pair.of_reference("excess information", 1, lambda: {"information": _excess(md[:, varies])})["information"]
    return pearson(_excess(model[:, varies])[first, second], of_md[first, second])


def _excess(indicator: _BoolArray) -> FloatArray:
    return mutual_information(indicator) - expected_mutual_information(indicator.sum(0), len(indicator))


EXPOSURE = Metric(
    "exposure",
    (
        _spec("exposed_residue_j", title="Buried side chains that come to the surface, Jaccard",
              means="Jaccard index, between model and MD (draw C), of the sets of residues whose side chain is "
                    "buried in the native structure (solvent-accessible surface of at most 2 Å², probe radius 2.8 "
                    "Å) and exposed in more than 10 % of frames.",
              cannot_see="How often a residue is exposed does not count beyond the threshold. It is undefined where "
                         "no residue is buried, as in a short peptide."),
        _spec("exposed_mi_rho", title="Concerted exposure of side chains, rank correlation",
              means="Spearman correlation between the full matrices of the mutual information of exposure of two "
                    "residues, for model and MD (draw C). The diagonals are set to 0. It is computed for comparison "
                    "with published tables only.",
              cannot_see="It does not measure whether residues are exposed together. If the frames of each residue "
                         "are shuffled independently, which removes every coupling, it hardly changes: it shows "
                         "which residues vary at all. One changed bit in a residue that is otherwise constant moves "
                         "it by several hundredths. `exposure_coupling_r` takes its place."),
        _spec("exposed_mi_rho_exact", title="Concerted exposure of side chains, rank correlation, noise-free",
              paper="arXiv:2402.04845, corrected",
              means="The same as `exposed_mi_rho`, after values below 1e-12 nats, which are rounding noise, are set "
                    "to 0. It is computed for comparison with published tables only.",
              cannot_see="It does not measure whether residues are exposed together: it shows which residues vary "
                         "at all. `exposure_coupling_r` takes its place."),
        _spec("exposure_coupling_r", title="Mutual information of exposure beyond chance, correlation",
              paper="doi:10.5555/1756006.1953024", default_view=("atlas",),
              means="Whether the residues that are exposed together in MD are so in the model. Mutual information "
                    "of exposure less its expectation if the frames of every residue were shuffled (exact: the "
                    "joint counts are then hypergeometric), for every pair of residues that vary in MD (exposed in "
                    "5 to 95 % of the distinct frames of draw C); Pearson correlation over these pairs between "
                    "model and MD. It is near 0 for a model whose residues are independent. At least 10 pairs must "
                    "vary.",
              cannot_see="Two residues that are slow and independent look coupled in a short trajectory: it does "
                         "not correct for the autocorrelation of MD."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
