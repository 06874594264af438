"""Reads molecular dynamics in the ATLAS layout: ``NAME/NAME.pdb`` and ``NAME/NAME_prod_R{1,2,3}_fit.xtc``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ebabench.errors import InputError
from ebabench.structures import Atoms, Reference, Target


def reference_names(root: Path) -> list[str]:
    """The targets in a folder of that layout. Raises InputError if there are none."""
    names = sorted(path.parent.name for path in root.glob("*/*.pdb") if path.stem == path.parent.name)
    if not names:
        raise InputError(f"{root}: no references in it (NAME/NAME.pdb with NAME/NAME_prod_R1_fit.xtc)")
    return names


def read_reference(root: Path, name: str, tier: str) -> Reference:
    """The reference of one target: heavy atoms, angstrom, every replica that is there, in the order of its number.

    The native structure is ``NAME.pdb``. Raises InputError if a file is missing or damaged.
    """
    import mdtraj

    folder = root / name
    topology = folder / f"{name}.pdb"
    found = {
        int(match[1]): path
        for path in folder.glob(f"{name}_prod_R*_fit.xtc")
        if (match := re.fullmatch(r".*_prod_R([1-9]\d*)_fit\.xtc", path.name))
    }
    if not topology.is_file() or not found:
        raise InputError(f"no molecular dynamics of {name} in {folder}: expected {name}.pdb and {name}_prod_R1_fit.xtc")
    path = topology
    try:
        native = mdtraj.load_pdb(str(topology), standard_names=False)
        heavy = np.array([a.index for a in native.topology.atoms if a.element is None or a.element.symbol != "H"])
        replicas = []
        for path in (found[number] for number in sorted(found)):
            replicas.append((mdtraj.load_xtc(str(path), top=native.topology).xyz[:, heavy] * 10).astype(np.float32))
    except Exception as error:
        raise InputError(f"cannot read {path}: {error}") from error
    for number, replica in zip(sorted(found), replicas, strict=True):
        if not np.isfinite(replica).all():
            raise InputError(f"{folder}: replica {number} holds coordinates that are not finite")
    chosen = [native.topology.atom(int(index)) for index in heavy]
    atoms = Atoms(
        np.array([a.name for a in chosen]),
        np.array([a.residue.name for a in chosen]),
        np.unique([a.residue.index for a in chosen], return_inverse=True)[1].astype(np.int64),
    )
    target = Target(name, atoms.sequence, atoms, (native.xyz[0, heavy] * 10).astype(np.float32))
    return Reference(target, tuple(replicas), tier, tuple(sorted(found)))
