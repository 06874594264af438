"""Whether conformations are physical. Each figure stands beside that of MD's own frames (draw A)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.geometry import by_axis, chiral_centers, distances, signed_volume, squares_from

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.reference_cache import Arrays
    from ebabench.structures.arrays import IndexArray, Positions

CLASH = 3.0  # angstrom: twice the van der Waals radius of carbon less 0.4 (Lu et al., Str2Str)
LONGEST_PEPTIDE_BOND = 1.4  # angstrom: the limit of Biopython's internal coordinates, as ConfDiff takes it

LONGEST_BOND = 2.0  # angstrom: a C-S bond has 1.8, the nearest atoms that are not bonded are 2.2 apart
_RIGID = 1e-4  # angstrom
_spec = partial(MetricSpec, version=1, unit="%", better="lower", aggregate="mean")
_md_spec = partial(_spec, better="reference")


def ca_clash_percent(ca: Positions, place: IndexArray) -> float:
    """Percentage of frames [S, C, 3] with two C-alphas, not neighbours along the chain, closer than 3 angstrom."""
    clash = np.zeros(len(ca), bool)
    axes = by_axis(ca)
    any_pair = False
    for k in range(ca.shape[1]):
        far = int(np.searchsorted(place, place[k] + 2))
        any_pair |= far < ca.shape[1]
        if far < ca.shape[1]:
            clash |= squares_from(axes, k, far).min(1) < CLASH**2
    return 100 * float(clash.mean()) if any_pair else float("nan")


def bonds(pair: Pair) -> tuple[IndexArray, IndexArray]:
    """Covalent bonds [K] between atoms in common: nearer than 2 angstrom in the native, inside a residue or peptide."""
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
    """Every number of the family for one pair."""
    md = pair.of_reference("validity", 1, lambda: _of_md(pair))
    values: dict[str, Value] = {}
    for key, reason, of_model in (
        ("ca_clash_percent", "no two C-alphas that are not neighbours", _clashes(pair, pair.model)),
        ("peptide_bond_break_percent", "no peptide bond has both its atoms in the model", _breaks(pair, pair.model)),
        ("chirality_error_percent", "no stereocenter has all its atoms in the model", _errors(pair, pair.model)),
    ):
        for name, percent in ((key, of_model), (f"md_{key}", float(md[key]))):
            values[name] = NotAvailable(reason) if np.isnan(percent) else percent
    return values | _bond_lengths(pair, md)


def _of_md(pair: Pair) -> Arrays:
    a = pair.md(pair.md_draw)
    found = {
        "ca_clash_percent": np.asarray(_clashes(pair, a)),
        "peptide_bond_break_percent": np.asarray(_breaks(pair, a)),
        "chirality_error_percent": np.asarray(_errors(pair, a)),
    }
    if pair.unavailable_reason("backbone"):
        return found
    between = bonds(pair)
    lengths = distances(pair.md(pair.md_draw_1000), *between)
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
    mean, width = md["mean"], md["width"]
    if not (width > _RIGID).all():
        return dict.fromkeys(keys, NotAvailable("bonds of the reference do not vary"))
    sides = distances(pair.model, *md["bonds"]), md["lengths"]
    scores = (np.sqrt(((side - mean) ** 2 / width**2).mean()) for side in sides)
    return dict(zip(keys, map(float, scores), strict=True))


def _clashes(pair: Pair, positions: Positions) -> float:
    return ca_clash_percent(positions[:, pair.ca], pair.residue_index[pair.atoms.residue[pair.ca]])


def _breaks(pair: Pair, positions: Positions) -> float:
    carbon, nitrogen = pair.atoms.select("C"), pair.atoms.select("N")
    after = {int(pair.residue_index[pair.atoms.residue[atom]]): atom for atom in nitrogen}
    bonds = [(c, after[k]) for c in carbon if (k := int(pair.residue_index[pair.atoms.residue[c]]) + 1) in after]
    if not bonds:
        return float("nan")
    first, second = np.array(bonds).T
    return 100 * float((distances(positions, first, second) > LONGEST_PEPTIDE_BOND).mean())


def _errors(pair: Pair, positions: Positions) -> float:
    centers = chiral_centers(pair.atoms)
    if not len(centers):
        return float("nan")
    return 100 * float((signed_volume(positions, centers) < 0).mean())


VALIDITY = Metric(
    "validity",
    (
        _spec("ca_clash_percent", title="Conformations with a clash of C-alphas", needs="ca", paper="arXiv:2306.03117",
              reference_key="md_ca_clash_percent"),
        _md_spec("md_ca_clash_percent", title="Conformations with a clash of C-alphas, MD", needs="ca",
                 paper="arXiv:2306.03117"),
        _spec("peptide_bond_break_percent", title="Peptide bonds longer than 1.4 Å", needs="backbone",
              paper="arXiv:2403.14088", reference_key="md_peptide_bond_break_percent"),
        _md_spec("md_peptide_bond_break_percent", title="Peptide bonds longer than 1.4 Å, MD", needs="backbone",
                 paper="arXiv:2403.14088"),
        _spec("chirality_error_percent", title="Stereocenters of the wrong hand", needs="backbone",
              paper="doi:10.1351/pac198456050595", reference_key="md_chirality_error_percent"),
        _md_spec("md_chirality_error_percent", title="Stereocenters of the wrong hand, MD", needs="backbone",
                 paper="doi:10.1351/pac198456050595"),
        _spec("bond_length_z", title="Root mean square Z score of bond lengths, by MD's means and widths", unit="",
              needs="backbone", paper="doi:10.1107/S0108767391001071", aggregate="median",
              reference_key="md_bond_length_z"),
        _md_spec("md_bond_length_z", title="Root mean square Z score of bond lengths, MD", unit="", needs="backbone",
                 paper="doi:10.1107/S0108767391001071", aggregate="median"),
    ),
    compute,
)  # fmt: skip
