"""Show what the published scorer does to an ensemble whose atoms are in AlphaFold's order.

``python experiments/published_scorer.py`` prints the tables of docs/explanation/published-scorer.md. The molecule is
the villin headpiece that OpenMM is shipped with (35 residues, folded). Its motion is synthetic: a few collective modes
and noise. One model is written twice, in the atom order of the reference and in AlphaFold's. A scorer that pairs atoms
rightly gives both the same figures.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebabench.metrics.correlation import spearman
from ebabench.metrics.distribution import gaussians, rmwd
from ebabench.metrics.exposure import mutual_information
from ebabench.metrics.kernels.surface import exposed
from ebabench.scoring.score import score_target, single_threaded_libraries
from ebabench.scoring.selection import select_metrics
from ebabench.structures import Atoms, Ensemble, Reference, Target
from ebabench.structures.arrays import IndexArray, Positions
from ebabench.structures.geometry import superpose
from ebabench.workflows.inputs import as_ensemble

ALPHAFOLD_ORDER = (
    "N CA C CB O CG CG1 CG2 OG OG1 SG CD CD1 CD2 ND1 ND2 OD1 OD2 SD CE CE1 CE2 CE3 NE NE1 NE2 OE1 OE2 CH2 NH1 NH2 OH "
    "CZ CZ2 CZ3 NZ OXT"
)
FRAMES, REPLICAS = 300, 3


def villin() -> Target:
    """Return the villin headpiece of OpenMM's example file: heavy atoms, in the file's order."""
    path = Path(str(resources.files("openmm.app"))) / "data" / "test.pdb"
    read = as_ensemble(path, "villin")
    return Target("villin", read.atoms.sequence, read.atoms, read.positions[0])


def moved(target: Target, frames: int, seed: int, amplitude: float, noise: float) -> Positions:
    """Return frames [F, N, 3]: three collective modes, smooth along the chain, and noise on every atom."""
    random = np.random.default_rng(seed)
    along = (target.atoms.residue + 0.5) / len(target.sequence)
    modes = np.stack([np.cos(np.pi * k * along) for k in (1, 2, 3)])
    weights = amplitude * random.standard_normal((frames, 3, 3)) / np.array([1.0, 2.0, 3.0])[:, None]
    away = np.einsum("fkx,kn->fnx", weights, modes) + noise * random.standard_normal((frames, *target.native.shape))
    return np.asarray(target.native + away, np.float32)


def alphafold_order(atoms: Atoms) -> IndexArray:
    """Return the atoms' indices in AlphaFold's order, residue by residue."""
    order = ALPHAFOLD_ORDER.split()
    places = np.array([order.index(str(name)) for name in atoms.name])
    return np.asarray(np.lexsort((places, np.asarray(atoms.residue))), np.int64)


def by_protocol(model: Ensemble, other: Ensemble, reference: Reference) -> str:
    """Return the table of figures of one model in two orders, by ebabench and by the scorer under mdtraj 1.9.9."""
    keys = ("rmwd", "exposed_residue_j", "exposed_mi_rho", "exposed_mi_rho_exact")
    metrics = select_metrics(keys).metrics
    columns = []
    for protocol in ("corrected", "alphaflow"):
        for one in (model, other):
            record = score_target(one, reference, metrics, protocol=protocol, with_floor=False)
            columns.append([record.figures.values[key] for key in keys])
    rows = ["| | corrected: same order | AlphaFold order | published, mdtraj 1.9.9: same order | AlphaFold order |"]
    rows.append("| --- |" + " --- |" * 4)
    for key, *figures in zip(keys, *columns, strict=True):
        rows.append(f"| `{key}` | " + " | ".join(f"{value:.3f}" for value in figures) + " |")
    return "\n".join(rows)


def by_position(model: Ensemble, other: Ensemble, reference: Reference) -> str:
    """Return RMWD with atoms paired by name, and by their place in the file (the scorer under mdtraj 1.10 or later)."""
    native = reference.target.native - reference.target.native.mean(0)
    md = gaussians(superpose(np.concatenate([np.asarray(r[:]) for r in reference.replicas]), native))
    order = alphafold_order(model.atoms)
    by_name = other.positions[:, np.argsort(order)]
    rows = ["| atoms paired by | rmwd | part of the means |", "| --- | --- | --- |"]
    for name, positions in (("name", by_name), ("place in the file", other.positions)):
        translation, variance = rmwd(gaussians(superpose(positions, native)), md)
        rows.append(f"| {name} | {np.hypot(translation, variance):.3f} | {translation:.3f} |")
    return "\n".join(rows)


def leaking_areas(model: Ensemble) -> str:
    """Return how far mdtraj's areas of a trajectory are from those of its frames one by one."""
    import mdtraj

    trajectory = model.to_mdtraj()
    settings = {"probe_radius": 0.28, "n_sphere_points": 960}
    whole = mdtraj.shrake_rupley(trajectory, **settings)
    single = np.concatenate([mdtraj.shrake_rupley(frame, **settings) for frame in trajectory])
    away = np.abs(whole - single)
    return (
        f"mdtraj {mdtraj.__version__}: {100 * np.mean(away > 0):.1f} % of {away.size} atom areas differ from those of "
        f"the same frame alone, by up to {away.max():.2g} nm^2; frame 0 by {away[0].max():.2g} nm^2"
    )


def coupling(model: Ensemble, reference: Reference) -> str:
    """Return what the two rank correlations of mutual information say of a model without any coupling."""
    frames = np.concatenate([np.asarray(r[:]) for r in reference.replicas])
    md, own = exposed(reference.target.atoms, frames), exposed(model.atoms, model.positions)
    random = np.random.default_rng(0)
    shuffled = np.stack([random.permutation(column) for column in own.T], axis=1)
    rows = ["| model | `exposed_mi_rho` | `exposed_mi_rho_exact` |", "| --- | --- | --- |"]
    for name, side in (("as it is", own), ("frames of every residue shuffled by themselves", shuffled)):
        rows.append(f"| {name} | {_rho(side, md, 0):.3f} | {_rho(side, md, 1e-12):.3f} |")
    residues = md.shape[1]
    varies = ((md.mean(0) > 0.05) & (md.mean(0) < 0.95)).sum()
    return "\n".join(rows) + f"\n\n{varies} of {residues} residues vary in the reference"


def _rho(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_], least: float) -> float:
    matrices = [mutual_information(side) for side in (one, other)]
    return float(spearman(*(np.where(np.abs(matrix) < least, 0, matrix) for matrix in matrices)))


def main() -> None:
    """Print all tables."""
    target = villin()
    reference = Reference(target, tuple(moved(target, FRAMES, k, 0.8, 0.35) for k in range(REPLICAS)), "synthetic")
    model = Ensemble("villin", target.atoms, moved(target, 250, 77, 1.0, 0.45))
    order = alphafold_order(target.atoms)
    other = Ensemble("villin", target.atoms.take(order), model.positions[:, order])
    with single_threaded_libraries():
        for part in (by_position(model, other, reference), by_protocol(model, other, reference),
                     leaking_areas(model), coupling(model, reference)):  # fmt: skip
            print(f"{part}\n", flush=True)


if __name__ == "__main__":
    main()
