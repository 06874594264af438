"""Shares of helix, strand and coil, residue by residue."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ebabench.metrics.weighting import mean
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, Value
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.structures.arrays import Positions


def secondary_structure(atoms: Atoms, positions: Positions, weights: FloatArray | None = None) -> FloatArray:
    """Return the shares [R, 3] of frames in which a residue is helix, strand and coil.

    Args:
        atoms: N atoms with N, CA, C and O of every residue.
        positions: [S, N, 3] in angstrom.
        weights: [S], of sum 1; None for equal weights.
    """
    return _shares(codes(atoms, positions), weights)


def codes(atoms: Atoms, positions: Positions) -> npt.NDArray[np.str_]:
    """Return H, E or C for each frame and residue [S, R].

    DSSP (Kabsch and Sander, Biopolymers 22, 2577 (1983)) by mdtraj, reduced to three states.

    Args:
        atoms: N atoms with N, CA, C and O of every residue.
        positions: [S, N, 3] in angstrom.
    """
    import mdtraj

    topology = mdtraj.Topology()
    chain = topology.add_chain()
    start = np.flatnonzero(np.diff(atoms.residue, prepend=-1))
    residues = [topology.add_residue(str(name), chain) for name in atoms.residue_name[start]]
    backbone = atoms.select("N", "CA", "C", "O")
    for k in backbone:
        name = str(atoms.name[k])
        topology.add_atom(name, mdtraj.element.Element.getBySymbol(name[0]), residues[atoms.residue[k]])
    found: npt.NDArray[np.str_] = mdtraj.compute_dssp(
        mdtraj.Trajectory(positions[:, backbone] / 10, topology), simplified=True
    )
    return found


def _shares(codes: npt.NDArray[np.str_], weights: FloatArray | None = None) -> FloatArray:
    return np.stack([mean(codes == code, weights) for code in "HEC"], axis=1)


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return the number of the family for one pair; MD is draw A."""
    if lack := pair.unavailable_reason("backbone"):
        return {"secondary_structure_mae": lack}

    def of_frames(frames: Positions) -> npt.NDArray[np.str_]:
        return pair.by_frame("secondary structure", pair.atoms, frames, partial(codes, pair.atoms))

    model = _shares(of_frames(pair.model), pair.weights)
    md = pair.of_reference("structure", 1, lambda: {"shares": _shares(of_frames(pair.md(pair.md_draw)))})
    return {"secondary_structure_mae": float(np.abs(model - md["shares"]).mean())}


SECONDARY_STRUCTURE = Metric(
    "secondary_structure",
    (
        MetricSpec("secondary_structure_mae", 1, "Error of shares of helix, strand and coil", "", "lower", "median",
                   "backbone", "doi:10.1002/bip.360221211", depends_on_samples=True,
                   means="Mean absolute error, over residues and the three classes helix, strand and coil (DSSP), "
                         "of the share of frames. MD is draw A.",
                   cannot_see="It does not see which residues are helical at the same time. It is 0 for all models "
                              "of a tetrapeptide, which has coil only."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
