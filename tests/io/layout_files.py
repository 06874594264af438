"""Files as generators leave them, written by gemmi, mdtraj and numpy: two small proteins, and folders of any layout."""

from __future__ import annotations

import json
import zipfile
from functools import cache
from pathlib import Path

import mdtraj
import numpy as np
from proteins import build, wobble

from ebabench.io.structure_files import write_pdb
from ebabench.structures import Atoms, Ensemble

SEQUENCE, OTHER = "GAIHWKSTV", "MKTAYIAKQR"
TARGETS = {"6o2v_A": SEQUENCE, "7abc_B": OTHER}
NAME, SECOND = TARGETS


@cache
def frames(sequence: str = SEQUENCE) -> Ensemble:
    """Return forty conformations of heavy atoms; a file takes its own from them."""
    target = build(sequence)
    return Ensemble("x", target.atoms, wobble(target, 40, seed=len(sequence)).round(3))


def some(start: int, count: int, sequence: str = SEQUENCE, names: tuple[str, ...] = ()) -> Ensemble:
    """Return conformations start, start + 1, ... of all heavy atoms, or of those with some names."""
    whole = frames(sequence)
    keep = whole.atoms.select(*names) if names else np.arange(len(whole.atoms))
    return Ensemble("x", whole.atoms.take(keep), whole.positions[start : start + count][:, keep])


def pdb(path: Path, start: int = 0, count: int = 1, sequence: str = SEQUENCE, names: tuple[str, ...] = ()) -> Path:
    """Write a PDB file with some conformations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pdb(some(start, count, sequence, names), path)
    return path


def cif(path: Path, start: int = 0, count: int = 1, sequence: str = SEQUENCE) -> Path:
    """Write an mmCIF file with some conformations, by gemmi."""
    import gemmi

    structure = gemmi.read_pdb(str(pdb(path.with_suffix(".tmp"), start, count, sequence)))
    path.with_suffix(".tmp").unlink()
    structure.setup_entities()
    structure.make_mmcif_document().write_file(str(path))
    return path


def topology(atoms: Atoms) -> mdtraj.Topology:
    """Return MDTraj's topology of one chain."""
    made = mdtraj.Topology()
    chain = made.add_chain()
    residues: dict[int, object] = {}
    for name, residue_name, residue in zip(atoms.name, atoms.residue_name, atoms.residue, strict=True):
        if residue not in residues:
            residues[residue] = made.add_residue(str(residue_name), chain)
        made.add_atom(str(name), mdtraj.element.get_by_symbol(str(name)[0]), residues[residue])
    return made


def trajectory(
    path: Path, start: int = 0, count: int = 1, sequence: str = SEQUENCE, names: tuple[str, ...] = ()
) -> Path:
    """Write a trajectory in the format of its suffix, by MDTraj."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = some(start, count, sequence, names)
    mdtraj.Trajectory(made.positions / 10, topology(made.atoms)).save(str(path))
    return path


def atom37(path: Path, start: int = 0, count: int = 1, **more: np.ndarray) -> Path:
    """Write ConfRover's npz: atom37 coordinates in angstrom, their mask, and aatype."""
    made, order = some(start, count), "ARNDCQEGHILKMFPSTWYV"
    length = len(SEQUENCE)
    coordinates, mask = np.zeros((count, length, 37, 3), np.float32), np.zeros((length, 37), np.float32)
    for row, (name, residue) in enumerate(zip(made.atoms.name, made.atoms.residue, strict=True)):
        if name in ATOM37:
            coordinates[:, residue, ATOM37.index(name)] = made.positions[:, row]
            mask[residue, ATOM37.index(name)] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    aatype = np.array([order.index(letter) for letter in SEQUENCE])
    np.savez(path, **{"atom37": coordinates, "atom37_mask": mask, "aatype": aatype} | more)
    return path


ATOM37 = str.split(
    "N CA C CB O CG CG1 CG2 OG OG1 SG CD CD1 CD2 ND1 ND2 OD1 OD2 SD CE CE1 CE2 CE3 NE NE1 NE2 OE1 OE2 CH2 NH1 NH2 OH "
    "CZ CZ2 CZ3 NZ OXT"
)


def array(path: Path, **arrays: np.ndarray) -> Path:
    """Write an npz file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def text(path: Path, content: str = "{}") -> Path:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def physicality(path: Path, rejected: set[int], count: int) -> Path:
    """Write BioEmu 2's report on every frame."""
    rows = [
        {
            "frame": k,
            "status": "rejected" if k in rejected else "passed",
            "reason": "clashes" if k in rejected else None,
        }
        for k in range(count)
    ]
    return text(path, json.dumps(rows, indent=2) + "\n")


def zipped(path: Path, folder: Path) -> Path:
    """Pack the files of a folder into a zip archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for one in sorted(folder.rglob("*")):
            if one.is_file():
                archive.write(one, one.relative_to(folder).as_posix())
    return path
