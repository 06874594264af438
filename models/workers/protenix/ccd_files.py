"""The two files of chemical components that Protenix reads, made from what biotite and RDKit bring: no network."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

CODES = (
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE",
    "LEU", "LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL", "UNK",
)  # fmt: skip
CIF, MOLECULES = "components.cif", "components.cif.rdkit_mol.pkl"
_CATEGORIES = {"chem_comp": "id", "chem_comp_atom": "comp_id", "chem_comp_bond": "comp_id"}  # their residue columns


def components(folder: Path) -> tuple[Path, Path]:
    """The files in ``folder``, made unless they are there (the published ones may be put there instead)."""
    cif, molecules = folder / CIF, folder / MOLECULES
    if not (cif.is_file() and molecules.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            made = Path(name)
            _write_cif(made / CIF)
            with (made / MOLECULES).open("wb") as file:
                pickle.dump({code: _molecule(code) for code in CODES}, file)
            for path in (molecules, cif):
                (made / path.name).replace(path)
    return cif, molecules


def _write_cif(path: Path) -> None:
    import numpy as np
    from biotite.structure.info.ccd import get_ccd
    from biotite.structure.io import pdbx

    file = pdbx.CIFFile({code: pdbx.CIFBlock() for code in CODES})
    for category, identifier in _CATEGORIES.items():
        table = get_ccd()[category]
        names = table[identifier].data.array
        rows = {code: np.flatnonzero(names == code) for code in CODES}
        # Column by column: each is decoded whole, and has half a million rows.
        columns = {name: (c.data.array, None if c.mask is None else c.mask.array) for name, c in table.items()}
        for code, at in rows.items():
            file[code][category] = pdbx.CIFCategory(
                {
                    name: pdbx.CIFColumn(pdbx.CIFData(data[at].astype(str)), None if mask is None else mask[at])
                    for name, (data, mask) in columns.items()
                }
            )
    file.write(path)


def _molecule(code: str) -> Any:
    """RDKit's molecule with hydrogens, a conformer of its own and the attributes that Protenix looks for."""
    import numpy as np
    from biotite.structure import info
    from rdkit import Chem
    from rdkit.Chem import AllChem

    atoms = info.residue(code)
    editable = Chem.RWMol()
    for element, charge in zip(atoms.element, atoms.charge, strict=True):
        atom = Chem.Atom(element.capitalize())
        atom.SetFormalCharge(int(charge))
        atom.SetNoImplicit(True)
        editable.AddAtom(atom)
    kinds = {"SINGLE": Chem.BondType.SINGLE, "DOUBLE": Chem.BondType.DOUBLE}
    for first, second, kind in atoms.bonds.as_array():
        name = _bond_name(int(kind))
        aromatic = name.startswith("AROMATIC")
        editable.AddBond(int(first), int(second), Chem.BondType.AROMATIC if aromatic else kinds[name])
    conformer = Chem.Conformer(len(atoms))
    conformer.SetPositions(np.ascontiguousarray(atoms.coord, np.float64))
    molecule: Any = editable.GetMol()
    molecule.AddConformer(conformer)
    Chem.SanitizeMol(molecule)
    Chem.AssignStereochemistryFrom3D(molecule)  # chirality is lost otherwise
    embedding = AllChem.ETKDGv3()
    embedding.clearConfs = False
    embedding.randomSeed = 0
    molecule.ref_conf_id = AllChem.EmbedMolecule(molecule, embedding)
    if molecule.ref_conf_id < 0:
        raise RuntimeError(f"RDKit finds no conformer of {code}")
    molecule.name, molecule.sanitized, molecule.ref_conf_type = code, True, "rdkit"
    molecule.ref_mask = np.ones(len(atoms), bool)
    molecule.atom_map = {name: index for index, name in enumerate(atoms.atom_name.tolist())}
    return molecule


def _bond_name(kind: int) -> str:
    from biotite.structure import BondType

    return BondType(kind).name
