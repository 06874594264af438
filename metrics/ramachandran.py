"""Distributions of phi and psi, residue by residue."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ebabench.metrics.torsion_counts import md_counts, phi_psi
from ebabench.metrics.transport import EXACT, Frames, over_samples, torus_w2
from ebabench.metrics.weighting import mean
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray
from ebabench.structures.geometry import torsions
from ebabench.structures.torsions import ALPHA, BETA, LEFT, PPII, basins

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair

_spec = partial(
    MetricSpec, version=2, unit="%", better="lower", aggregate="median", needs="backbone", depends_on_samples=True,
    paper="doi:10.1101/002048",
)  # fmt: skip


def basin_populations(angles: npt.NDArray[np.floating], weights: FloatArray | None = None) -> FloatArray:
    """Return the shares [K, 4] of conformations in the backbone basins alpha, beta, PPII and left-handed (``basins``).

    Args:
        angles: [S, K, 2], phi and psi in radians.
        weights: [S], of sum 1; None for equal weights.
    """
    basin = basins(angles)
    return np.stack([mean(basin == k, weights) for k in (ALPHA, BETA, PPII, LEFT)], axis=-1)


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair."""
    keys = [spec.key for spec in RAMACHANDRAN.specs]
    if lack := pair.unavailable_reason("backbone"):
        return dict.fromkeys(keys, lack)
    residues, model = torsions(pair.atoms, pair.residue_index, pair.model)
    if not len(residues):
        return dict.fromkeys(keys, NotAvailable("no residue has both neighbours"))
    md = pair.of_reference(
        "torsions", 1, lambda: {"angles": torsions(pair.atoms, pair.residue_index, pair.md(pair.md_draw))[1]}
    )["angles"]

    def distance(chosen: Frames, frames: Frames, own: FloatArray | None) -> float:
        return float(np.mean([torus_w2(model[chosen, k], md[frames, k], own) for k in range(len(residues))]))

    shares, frames = (
        basin_populations(pair.model_torsions[:, phi_psi(pair.torsions)], pair.weights),
        sum(pair.replica_lengths),
    )
    md_shares = pair.of_reference("basins", 1, lambda: {"shares": md_counts(pair)["basins"] / frames})
    away = np.abs(shares - md_shares["shares"])
    return {
        "ramachandran_w2": over_samples(len(pair), pair.weights, distance),
        "basin_populations_tv": 100 * float(away.sum(1).mean()) / 2,
        "alpha_percent": 100 * float(shares[:, ALPHA].mean()),
        "md_alpha_percent": 100 * float(md_shares["shares"][:, ALPHA].mean()),
    }


RAMACHANDRAN = Metric(
    "ramachandran",
    (
        _spec("ramachandran_w2", version=1, title="2-Wasserstein distance of phi and psi, mean over residues", unit="°",
              paper="doi:10.1016/S0022-2836(63)80023-6", exact_up_to=EXACT,
              means="2-Wasserstein distance between (phi, psi) of model and MD (draw A) on the torus, in degrees. "
                    "Mean over residues with both torsions.",
              cannot_see="Each residue is compared alone: correlations between residues do not count. Side chains "
                         "do not count. Two finite samples of one distribution have a positive value: compare it "
                         "with MD against itself."),
        _spec("basin_populations_tv", title="Total variation distance of backbone basins, mean over residues",
              default_view=("peptides",),
              means="Total variation distance (half the sum of absolute differences) between the populations of "
                    "four backbone basins, in percent. Mean over residues with both torsions. It is the percentage "
                    "of conformations that would have to move to another basin. The basins cover the torus: left- "
                    "handed for phi > 0; of the rest, alpha for -100° <= psi <= 50°; of the rest, beta for phi <= "
                    "-100°, and polyproline II for phi > -100°.",
              cannot_see="Populations do not see the shape of a basin, nor correlations between residues; "
                         "`js_pairwise_distance` sees such correlations. All of phi > 0 is one basin, which is "
                         "coarse for glycine. A mode that straddles a border counts in two basins; "
                         "`ramachandran_w2` has no borders. Two finite samples of one distribution have a positive "
                         "value: compare it with MD against itself."),
        _spec("alpha_percent", title="Residues in the alpha basin", better="reference",
              reference_key="md_alpha_percent",
              means="Percentage of residues and conformations in the alpha basin: phi <= 0 and -100° <= psi <= 50°.",
              cannot_see="It does not see which residues are in the basin, nor whether neighbours are in it "
                         "together. A residue in the basin is not yet part of a helix."),
        _spec("md_alpha_percent", title="Residues in the alpha basin, MD", better="reference"),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
