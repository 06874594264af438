"""Missing atoms of side chains, added by PDBFixer to structures that are otherwise complete."""

from __future__ import annotations

import io

import numpy as np
from openmm import Platform, app, unit

from ebabench.physics.molecules import Molecule, parent_name
from ebabench.physics.preparation import CannotPrepare
from ebabench.structures import Atoms
from ebabench.structures.arrays import Positions

_MOST_ADDED = 0.1  # of all heavy atoms; beyond, an energy would be PDBFixer's and not the structure's
_BACKBONE = {"N", "CA", "C", "O"}


def add_missing_atoms(molecule: Molecule, frame: Positions) -> tuple[Molecule, Positions]:
    """Return the molecule with all its heavy atoms, and their positions.

    Every frame of one molecule gives the same atoms in the same order.

    Args:
        molecule: the molecule, without hydrogens.
        frame: [N, 3] in angstrom.

    Returns:
        The molecule, and [M, 3] in angstrom, centred.

    Raises:
        CannotPrepare: atoms of the backbone are missing, or more than a tenth of all heavy atoms.
    """
    from pdbfixer import PDBFixer

    # Its own choice would be the fastest platform here, and the atoms that it adds would be others on every machine.
    reference = Platform.getPlatformByName("Reference")
    fixer = PDBFixer(pdbfile=io.StringIO(_as_pdb(molecule, frame - frame.mean(0))), platform=reference)
    fixer.missingResidues = {}
    fixer.findMissingAtoms()
    ends = {chain.last for chain in molecule.chains if molecule.is_charged_end(chain.last)}
    fixer.missingTerminals = {r: names for r, names in fixer.missingTerminals.items() if r.index in ends}
    for residue, added in fixer.missingAtoms.items():
        added[:] = [atom for atom in added if atom.name != "OXT" or residue.index in ends]
    missing = [(residue, atom.name) for residue, added in fixer.missingAtoms.items() for atom in added]
    gaps = [f"{molecule.label(residue.index)} {name}" for residue, name in missing if name in _BACKBONE]
    if gaps:
        raise CannotPrepare(f"atoms of the backbone are missing: {', '.join(gaps[:3])}")
    whole = len(molecule.atoms) + len(missing)
    if len(missing) > _MOST_ADDED * whole:
        raise CannotPrepare(f"{len(missing)} of {whole} heavy atoms are missing, more than can be made up")
    if not missing:
        raise CannotPrepare("a residue has atoms that do not belong to it")
    fixer.addMissingAtoms(seed=0)
    rows = [(atom.name, atom.residue.index) for atom in fixer.topology.atoms()]
    name, residue = (np.array(column) for column in zip(*rows, strict=True))
    residue_name = np.array(molecule.residue_names)[residue]
    positions = np.array(fixer.positions.value_in_unit(unit.angstrom), dtype=np.float32)
    return Molecule(Atoms(name, residue_name, residue), molecule.chains, molecule.labels), positions


def _as_pdb(molecule: Molecule, frame: Positions) -> str:
    topology = app.Topology()
    atoms = molecule.atoms
    starts = np.flatnonzero(np.diff(atoms.residue, prepend=-1, append=atoms.residue[-1] + 1))
    for part in molecule.chains:
        chain = topology.addChain()
        for number in range(part.first, part.last + 1):
            residue = topology.addResidue(parent_name(molecule.residue_names[number]), chain)
            for name in atoms.name[starts[number] : starts[number + 1]].tolist():
                topology.addAtom(name, app.Element.getBySymbol(name[0]), residue)
    text = io.StringIO()
    app.PDBFile.writeFile(topology, frame * unit.angstrom, text)
    return text.getvalue()
