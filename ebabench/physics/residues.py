"""The residues of a file as force fields see them: under standard names, with every hydrogen at its heavy atom."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial import cKDTree

from ebabench.io.frames import FileAtoms
from ebabench.physics.molecules import CAPS, N_CAPS, parent_name, standard_residue_name
from ebabench.physics.preparation import CannotPrepare
from ebabench.physics.protonation import hydrogen_names, protonation_of
from ebabench.structures import Atoms
from ebabench.structures.arrays import IndexArray, Positions
from ebabench.structures.nomenclature import canonical

# CHARMM has caps as atoms of the residue beside them; their names there and in a residue of their own.
_PATCHED = {
    "ACE": {"CAY": "CH3", "CY": "C", "OY": "O"},
    "NME": {"NT": "N", "CAT": "C"},
    "NH2": {"NT": "N"},
}
_CAP_NAMES = {("NME", "CH3"): "C", ("NME", "CA"): "C", ("ACE", "CA"): "CH3"}
_HYDROGEN_BOND = (0.5, 1.7)  # angstrom


@dataclass
class Residue:
    """One residue of a file.

    Attributes:
        name: its name in the file.
        label: what messages call it.
        chain: its chain identifier in the file.
        segment: the segment of `FileAtoms`.
        hetero: True for HETATM records.
        heavy: rows of heavy atoms in the file, by their PDB names.
        hydrogens: rows of hydrogens in the file, by the row of the heavy atom that each is bonded to.
    """

    name: str
    label: str
    chain: str
    segment: int
    hetero: bool
    heavy: dict[str, int]
    hydrogens: dict[int, list[int]] = field(default_factory=dict)

    @property
    def names(self) -> dict[int, str]:
        """Names of the heavy atoms by row."""
        return {row: name for name, row in self.heavy.items()}

    @property
    def standard(self) -> str | None:
        """Its name in the vocabulary of `standard_residue_name`, or None."""
        return standard_residue_name(self.name)

    @property
    def is_chain_member(self) -> bool:
        """True for an amino acid, known or not, and for a cap."""
        return bool(self.heavy) and (self.standard is not None or {"N", "CA", "C"} <= self.heavy.keys())


def read_residues(atoms: FileAtoms, frame: Positions) -> list[Residue]:
    """Return the residues of a file in the order of the file.

    Args:
        atoms: all atoms of the file.
        frame: [atoms, 3] in angstrom; a hydrogen belongs to the nearest heavy atom of its residue, or, if that is not
            within a bond and another residue's is, to that one: programs that append hydrogens may lose their residue.

    Raises:
        CannotPrepare: an amino acid has an atom twice.
    """
    order = np.argsort(atoms.residue, kind="stable")
    hydrogen = atoms.hydrogen
    # `canonical` knows aliases of heavy atoms by the residue's parent.
    _, residue = np.unique(atoms.residue[order], return_inverse=True)
    table = canonical(Atoms(atoms.name[order], atoms.residue_name[order], residue))
    found: list[Residue] = []
    given: list[IndexArray] = []
    for rows, names in zip(
        *(np.split(a, np.flatnonzero(np.diff(residue)) + 1) for a in (order, table.name)), strict=True
    ):
        first = int(rows[0])
        chain, number, name = str(atoms.chain[first]), str(atoms.number[first]), str(atoms.residue_name[first])
        label = f"{name}{number}" + (f" of chain {chain}" if chain else "")
        heavy: dict[str, int] = {}
        for row, atom in zip(rows.tolist(), names.tolist(), strict=True):
            if not hydrogen[row]:
                if atom in heavy and standard_residue_name(name) is not None:
                    raise CannotPrepare(f"{label} has atom {atom} more than once")
                heavy[atom] = row
        one = Residue(name.strip().upper(), label, chain, int(atoms.segment[first]), bool(atoms.hetero[first]), heavy)
        found.append(one)
        given.append(rows[hydrogen[rows]])
    lost = _with_own_hydrogens(found, given, frame)
    _with_lost_hydrogens(found, lost, frame)
    kept = [one for one, rows in zip(found, given, strict=True) if one.heavy or not lost.keys().isdisjoint(rows)]
    return [part for one in kept for part in _split_caps(one)]


def _with_own_hydrogens(residues: list[Residue], given: list[IndexArray], frame: Positions) -> dict[int, Residue]:
    """Hang the hydrogens of each residue on its heavy atoms; return those that lie at none of them, with the residue.

    ``given`` are the rows of the hydrogens of each residue.
    """
    lost = {}
    for one, rows in zip(residues, given, strict=True):
        if one.is_chain_member and len(rows):
            parents = np.array(list(one.heavy.values()))
            length, nearest = map(np.asarray, cKDTree(frame[parents]).query(frame[rows]))
            for row, parent, far in zip(rows.tolist(), parents[nearest].tolist(), length.tolist(), strict=True):
                one.hydrogens.setdefault(parent, []).append(row)
                if far >= _HYDROGEN_BOND[1]:
                    lost[row] = one
        elif one.standard is not None:
            lost |= dict.fromkeys(rows.tolist(), one)
    return lost


def _with_lost_hydrogens(residues: list[Residue], lost: dict[int, Residue], frame: Positions) -> None:
    """Hang hydrogens on the heavy atoms of other residues that they lie at; these are lost no longer."""
    owner = {row: one for one in residues if one.is_chain_member for row in one.heavy.values()}
    if not lost or not owner:
        return
    rows, parents = np.array(list(lost)), np.array(list(owner))
    length, nearest = map(np.asarray, cKDTree(frame[parents]).query(frame[rows]))
    near = length < _HYDROGEN_BOND[1]
    for row, parent in zip(rows[near].tolist(), parents[nearest[near]].tolist(), strict=True):
        before = lost.pop(row)
        for own in before.hydrogens.values():
            if row in own:
                own.remove(row)
        owner[parent].hydrogens.setdefault(parent, []).append(row)


def _split_caps(residue: Residue) -> list[Residue]:
    """The residue, with CHARMM's caps as residues of their own."""
    if residue.standard is None or residue.standard in CAPS:
        if residue.standard in CAPS:
            residue.heavy = {_CAP_NAMES.get((str(residue.standard), n), n): row for n, row in residue.heavy.items()}
        return [residue]
    found = [residue]
    for cap, names in _PATCHED.items():
        if names.keys() <= residue.heavy.keys():
            heavy = {proper: residue.heavy.pop(name) for name, proper in names.items()}
            hydrogens = {row: residue.hydrogens.pop(row) for row in heavy.values() if row in residue.hydrogens}
            own = replace(residue, name=cap, label=f"{cap} of {residue.label}", heavy=heavy, hydrogens=hydrogens)
            found.insert(0 if cap in N_CAPS else len(found), own)
    return found


def with_hydrogens(residue: Residue, atoms: FileAtoms) -> tuple[str, dict[int, str], str]:
    """Return an amino acid or cap with its hydrogens under PDB names.

    Args:
        residue: the residue; its name is standard.
        atoms: all atoms of the file.

    Returns:
        The name of the residue under the protonation that its hydrogens show; the names of its atoms by row; and why
        its hydrogens cannot be used, or the empty string.
    """
    assert residue.standard is not None
    names = residue.names
    _hydrogen_to_second_oxygen(residue, names)
    by_parent = {names[row]: rows for row, rows in residue.hydrogens.items()}
    shown = protonation_of(residue.standard, [parent for parent, rows in by_parent.items() for _ in rows])
    if shown is None:
        return residue.standard, names, f"hydrogens of {residue.label} are not those of {residue.standard}"
    proper = hydrogen_names(shown, {parent: atoms.name[rows].tolist() for parent, rows in by_parent.items()})
    if proper is None:
        return shown, names, f"{residue.label} has too many hydrogens"
    names |= {row: name for parent, rows in by_parent.items() for row, name in zip(rows, proper[parent], strict=True)}
    return shown, names, ""


def _hydrogen_to_second_oxygen(residue: Residue, names: dict[int, str]) -> None:
    """Swap the names of a carboxyl group's equivalent oxygens, if it is the first that has the hydrogen."""
    for first, second in (("OD1", "OD2"), ("OE1", "OE2")):
        if residue.heavy.keys() >= {first, second} and parent_name(str(residue.standard)) in ("ASP", "GLU"):
            one, other = residue.heavy[first], residue.heavy[second]
            if one in residue.hydrogens and other not in residue.hydrogens:
                names[one], names[other] = second, first


def hydrogens_are_near(residues: list[Residue], frame: Positions) -> bool:
    """Return whether every hydrogen lies where one can be bonded to its heavy atom.

    Args:
        residues: the residues.
        frame: [atoms, 3] in angstrom.
    """
    pairs = [(row, parent) for one in residues for parent, rows in one.hydrogens.items() for row in rows]
    if not pairs:
        return True
    hydrogen, parent = np.array(pairs).T
    length = np.linalg.norm(frame[hydrogen] - frame[parent], axis=1)
    return bool(((length > _HYDROGEN_BOND[0]) & (length < _HYDROGEN_BOND[1])).all())
