"""Whether conformations are physical. Each number stands beside that of MD's own frames (draw A)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ebabench.metrics.weighting import mean
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray
from ebabench.structures.geometry import by_axis, chiral_centers, distances, signed_volume, squares_from

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.reference_cache import Arrays
    from ebabench.structures.arrays import IndexArray, Positions

CLASH = 3.0  # angstrom: twice the van der Waals radius of carbon less 0.4 (Lu et al., Str2Str)
LONGEST_PEPTIDE_BOND = 1.4  # angstrom: the limit of Biopython's internal coordinates, as ConfDiff takes it

LONGEST_BOND = 2.0  # angstrom: a C-S bond has 1.8, the nearest atoms that are not bonded are 2.2 apart
_BLOCK = 128  # frames
_RIGID = 1e-4  # angstrom
_UNDEFINED = {
    "ca_clash_percent": "no two C-alphas that are not neighbours",
    "peptide_bond_break_percent": "no peptide bond has both its atoms in the model",
    "chirality_error_percent": "no stereocenter has all its atoms in the model",
}
_spec = partial(MetricSpec, version=1, unit="%", better="lower", aggregate="mean")
_md_spec = partial(_spec, better="reference")


def ca_clash_percent(ca: Positions, place: IndexArray, weights: FloatArray | None = None) -> float:
    """Return the percentage of frames with two C-alphas, not neighbours along the chain, closer than 3 angstrom.

    Args:
        ca: [S, C, 3] in angstrom.
        place: [C], index of every C-alpha's residue in the sequence.
        weights: [S], of sum 1; None for equal weights.

    Returns:
        NaN if no two C-alphas are two residues apart.
    """
    clash = np.zeros(len(ca), bool)
    axes = by_axis(ca)
    any_pair = False
    for k in range(ca.shape[1]):
        far = int(np.searchsorted(place, place[k] + 2))
        any_pair |= far < ca.shape[1]
        if far < ca.shape[1]:
            clash |= squares_from(axes, k, far).min(1) < CLASH**2
    return 100 * float(mean(clash, weights)) if any_pair else float("nan")


def bonds(pair: Pair) -> tuple[IndexArray, IndexArray]:
    """Return both ends [K] of the covalent bonds between atoms in common.

    Bonds within a residue are its pairs of atoms nearer than 2 angstrom in the native structure. Peptide bonds join C
    to N of the next residue. Disulfide bonds are not among them.
    """
    first, second = [], []
    residue, name = pair.atoms.residue, pair.atoms.name
    start = np.searchsorted(residue, np.arange(len(pair.residue_index) + 1))
    for k in range(len(pair.residue_index)):
        here = np.arange(start[k], start[k + 1])
        one, other = (here[side] for side in np.triu_indices(len(here), 1))
        near = np.linalg.norm(pair.native[one] - pair.native[other], axis=1) < LONGEST_BOND
        first += one[near].tolist()
        second += other[near].tolist()
        if k + 1 < len(pair.residue_index) and pair.residue_index[k + 1] == pair.residue_index[k] + 1:
            after = np.arange(start[k + 1], start[k + 2])
            first += here[name[here] == "C"].tolist()
            second += after[name[after] == "N"].tolist()
    return np.array(first, np.int64), np.array(second, np.int64)


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair."""
    md = pair.of_reference("validity", 1, lambda: _of_md(pair))
    own, values = _percentages(pair, pair.model, pair.weights), dict[str, Value]()
    for key, reason in _UNDEFINED.items():
        for name, percent in ((key, own[key]), (f"md_{key}", float(md[key]))):
            values[name] = NotAvailable(reason) if np.isnan(percent) else percent
    return values | _bond_lengths(pair, md)


def _percentages(pair: Pair, positions: Positions, weights: FloatArray | None) -> dict[str, float]:
    along = pair.residue_index[pair.atoms.residue[pair.ca]]
    return {
        "ca_clash_percent": ca_clash_percent(positions[:, pair.ca], along, weights),
        "peptide_bond_break_percent": _breaks(pair, positions, weights),
        "chirality_error_percent": _errors(pair, positions, weights),
    }


def _of_md(pair: Pair) -> Arrays:
    a = pair.md(pair.md_draw)
    found = {key: np.asarray(percent) for key, percent in _percentages(pair, a, None).items()}
    if pair.unavailable_reason("backbone"):
        return found
    between = bonds(pair)
    draw = pair.md_draw_1000
    blocks = (pair.md(draw[start : start + _BLOCK]) for start in range(0, len(draw), _BLOCK))
    lengths = np.concatenate([distances(block, *between) for block in blocks])
    return found | {
        "bonds": np.stack(between),
        "lengths": distances(a, *between),
        "mean": lengths.mean(0, dtype=np.float64),
        "width": lengths.std(0, dtype=np.float64),
    }


def _bond_lengths(pair: Pair, md: Arrays) -> dict[str, Value]:
    keys = ("bond_length_z", "md_bond_length_z")
    if lack := pair.unavailable_reason("backbone"):
        return dict.fromkeys(keys, lack)
    center, width = md["mean"], md["width"]
    if not (width > _RIGID).all():
        return dict.fromkeys(keys, NotAvailable("bonds of the reference do not vary"))
    sides = (distances(pair.model, *md["bonds"]), pair.weights), (md["lengths"], None)
    scores = (np.sqrt(_mean_of_all((side - center) ** 2 / width**2, weights)) for side, weights in sides)
    return dict(zip(keys, map(float, scores), strict=True))


def _mean_of_all(values: npt.NDArray[Any], weights: FloatArray | None) -> float:
    """Return the mean of values [S, K] over conformations and things alike."""
    return float(values.mean() if weights is None else mean(values, weights).mean())


def _breaks(pair: Pair, positions: Positions, weights: FloatArray | None) -> float:
    carbon, nitrogen = pair.atoms.select("C"), pair.atoms.select("N")
    after = {int(pair.residue_index[pair.atoms.residue[atom]]): atom for atom in nitrogen}
    peptide = [(c, after[k]) for c in carbon if (k := int(pair.residue_index[pair.atoms.residue[c]]) + 1) in after]
    if not peptide:
        return float("nan")
    first, second = np.array(peptide).T
    return 100 * _mean_of_all(distances(positions, first, second) > LONGEST_PEPTIDE_BOND, weights)


def _errors(pair: Pair, positions: Positions, weights: FloatArray | None) -> float:
    centers = chiral_centers(pair.atoms)
    if not len(centers):
        return float("nan")
    return 100 * _mean_of_all(signed_volume(positions, centers) < 0, weights)


VALIDITY = Metric(
    "validity",
    (
        _spec("ca_clash_percent", title="Conformations with a clash of C-alphas", needs="ca", paper="arXiv:2306.03117",
              reference_key="md_ca_clash_percent",
              means="Percentage of conformations with two C-alphas that are not chain neighbours and are nearer "
                    "than 3 Å. MD's value is that of draw A.",
              cannot_see="It does not see clashes of side chains, nor how many clashes a conformation has."),
        _md_spec("md_ca_clash_percent", title="Conformations with a clash of C-alphas, MD", needs="ca",
                 paper="arXiv:2306.03117"),
        _spec("peptide_bond_break_percent", title="Peptide bonds longer than 1.4 Å", needs="backbone",
              paper="arXiv:2403.14088", better="reference", reference_key="md_peptide_bond_break_percent",
              means="Percentage of peptide bonds longer than 1.4 Å. MD's value is that of draw A: MD itself exceeds "
                    "1.4 Å in about 1 % of peptide bonds, so the best value is the one nearest to MD's.",
              cannot_see="It does not see how long a broken bond is. Ideal bond lengths by construction give 0 %, "
                         "which is not MD's distribution."),
        _md_spec("md_peptide_bond_break_percent", title="Peptide bonds longer than 1.4 Å, MD", needs="backbone",
                 paper="arXiv:2403.14088"),
        _spec("chirality_error_percent", title="Stereocenters of the wrong hand", needs="backbone",
              paper="doi:10.1351/pac198456050595", reference_key="md_chirality_error_percent",
              means="Percentage of stereocentres (C-alphas, and C-beta of isoleucine and threonine) of the wrong "
                    "chirality. MD's value is that of draw A.",
              cannot_see="It sees the hand of a centre, and no other fault of geometry."),
        _md_spec("md_chirality_error_percent", title="Stereocenters of the wrong hand, MD", needs="backbone",
                 paper="doi:10.1351/pac198456050595"),
        _spec("bond_length_z", title="Root mean square Z score of bond lengths, by MD's means and widths", unit="",
              needs="backbone", paper="doi:10.1107/S0108767391001071", aggregate="median", better="reference",
              reference_key="md_bond_length_z", default_view=("peptides", "atlas"),
              means="Root mean square over bonds and conformations of (length - mean of MD) / standard deviation of "
                    "MD, with mean and deviation from draw C. The bonds are pairs of atoms of one residue nearer "
                    "than 2 Å in the native structure, and the peptide bonds; disulfide bonds are not among them. "
                    "MD has 1.",
              cannot_see="A model with ideal bond lengths by construction has about 0.2: the geometry is ideal, and "
                         "not distributed as in MD. Bond angles and planarity do not count. A few torn bonds decide "
                         "a large value."),
        _md_spec("md_bond_length_z", title="Root mean square Z score of bond lengths, MD", unit="", needs="backbone",
                 paper="doi:10.1107/S0108767391001071", aggregate="median"),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
