"""Small synthetic proteins and ensembles of them, for tests. Heavy atoms, angstrom."""

from __future__ import annotations

import io
from functools import cache

import numpy as np

from ebabench.structures import Atoms, Ensemble, Reference, Target

HELIX = (-60.0, -45.0)
STRAND = (-120.0, 130.0)


@cache
def build(sequence: str, torsions: tuple[float, float] = HELIX) -> Target:
    """An all-heavy-atom chain with one phi and psi throughout."""
    import gemmi
    import PeptideBuilder
    from Bio.PDB import PDBIO
    from PeptideBuilder import Geometry

    geometries = [Geometry.geometry(letter) for letter in sequence]
    for geometry in geometries:
        geometry.phi, geometry.psi_im1 = torsions
    structure = PeptideBuilder.make_structure_from_geos(geometries)
    writer, text = PDBIO(), io.StringIO()
    writer.set_structure(structure)
    writer.save(text)
    chain = gemmi.read_pdb_string(text.getvalue())[0][0]
    rows = [(a.name, r.name, k, a.pos.tolist()) for k, r in enumerate(chain) for a in r]
    name, residue_name, residue, positions = zip(*rows, strict=True)
    atoms = Atoms(np.array(name), np.array(residue_name), np.array(residue))
    return Target("synthetic", sequence, atoms, np.array(positions, np.float32))


@cache
def bundle(sequence: str, helices: int = 4, apart: float = 8.0) -> Target:
    """Antiparallel helices side by side, two rows of them, so that some side chains are buried. The turns are gaps."""
    length = len(sequence) // helices
    names, residue_names, residues, positions = [], [], [], []
    for k in range(helices):
        one = build(sequence[k * length : (k + 1) * length])
        centered = one.native - one.native.mean(0)
        axes = np.linalg.svd(centered[one.atoms.select("CA")])[2].T
        upright = centered @ (axes * np.array([1.0, 1.0, np.linalg.det(axes)]))
        flip = np.array([1, 1, 1]) if k % 2 == 0 else np.array([-1, -1, 1])
        positions.append(upright * flip + apart * np.array([0, k % 2, k // 2]))
        names.append(one.atoms.name)
        residue_names.append(one.atoms.residue_name)
        residues.append(one.atoms.residue + k * length)
    atoms = Atoms(np.concatenate(names), np.concatenate(residue_names), np.concatenate(residues))
    return Target("synthetic", sequence[: helices * length], atoms, np.concatenate(positions).astype(np.float32))


def wobble(target: Target, frames: int, seed: int, amplitude: float = 0.6, noise: float = 0.15) -> np.ndarray:
    """Frames [F, N, 3]: a few collective modes (smooth along the chain) and noise on every atom."""
    rng = np.random.default_rng(seed)
    along = (target.atoms.residue + 0.5) / len(target.sequence)
    modes = np.stack([np.cos(np.pi * k * along) for k in range(1, 4)])
    weights = amplitude * rng.standard_normal((frames, 3, 3)) / np.array([1.0, 2.0, 3.0])[:, None]
    moved = target.native + np.einsum("fkx,kn->fnx", weights, modes)
    return (moved + noise * rng.standard_normal(moved.shape)).astype(np.float32)


def rotations(count: int, seed: int) -> np.ndarray:
    """Random rotation matrices [count, 3, 3]."""
    from scipy.spatial.transform import Rotation

    return Rotation.random(count, random_state=np.random.default_rng(seed)).as_matrix().astype(np.float32)


def turned(positions: np.ndarray, seed: int = 0) -> np.ndarray:
    """Every frame rotated and moved at random."""
    shift = 20 * np.random.default_rng(seed).standard_normal((len(positions), 1, 3)).astype(np.float32)
    return positions @ rotations(len(positions), seed) + shift


def reference(target: Target, frames: int = 60, replicas: int = 3) -> Reference:
    """Molecular dynamics that is none: ``wobble`` with a seed a replica."""
    return Reference(target, tuple(wobble(target, frames, seed) for seed in range(replicas)), "test")


def ensemble(target: Target, frames: int = 40, seed: int = 77, amplitude: float = 0.8) -> Ensemble:
    """A model that moves more than the reference."""
    return Ensemble(target.name, target.atoms, wobble(target, frames, seed, amplitude))


def reordered(one: Ensemble, seed: int = 5) -> Ensemble:
    """The same ensemble with the atoms of every residue in random order."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(one.atoms)), one.atoms.residue))
    return Ensemble(one.target, one.atoms.take(order), one.positions[:, order])
