"""The molecule in a file: which of its atoms have an energy together, what is left out, and what cannot be computed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from ebabench.io.frames import FileAtoms
from ebabench.physics.molecules import C_CAPS, N_CAPS, PEPTIDE_BOND, Chain, Molecule
from ebabench.physics.preparation import CannotPrepare
from ebabench.physics.residues import Residue, hydrogens_are_near, read_residues, with_hydrogens
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, IndexArray, Positions

_WATERS = frozenset(
    ("HOH", "WAT", "H2O", "DOD", "SOL", "TIP", "TIP3", "TP3", "T3P", "TIP4", "TP4", "TIP5", "SPC", "OPC")
)
_BASES = ("A", "C", "G", "U", "DA", "DC", "DG", "DT", "RA", "RC", "RG", "RU")
_NUCLEOTIDES = frozenset(base + end for base in _BASES for end in ("", "3", "5"))
_NONE = "there is no chain of amino acids"
_COVALENT = 1.9  # angstrom: no atoms but metals are nearer without a bond
_BONDING = frozenset(("B", "C", "N", "O", "P", "S", "SE", "F"))


@dataclass(frozen=True)
class Description:
    """The molecule in a file.

    Attributes:
        molecule: the molecule, with hydrogens if the file has them.
        columns: [N], its atoms as rows of the file's.
        left_out: what else the file has, in words; empty if there is nothing.
        misfit: why the hydrogens of the file cannot be used; empty if they can, or if there are none.
    """

    molecule: Molecule
    columns: IndexArray
    left_out: str
    misfit: str = ""

    def without_hydrogens(self, misfit: str) -> Description:
        """Return the description with heavy atoms only; their hydrogens are to be placed anew."""
        heavy = np.flatnonzero(~self.molecule.hydrogen)
        return replace(self, molecule=self.molecule.take(heavy), columns=self.columns[heavy], misfit=misfit)


def describe(atoms: FileAtoms, sample: Positions) -> Description:
    """Return the molecule that the amino acids and caps of a file form.

    A chain ends where the chain identifier changes, and at a gap behind which the file marks an end: a TER record, an
    OXT, a cap, or the hydrogens of a free N-terminus. Waters, ions, and ligands without a bond to the chains are left
    out; so is an amino acid that is marked HETATM and bonded to no other.

    Args:
        atoms: all atoms of the file.
        sample: [S, atoms, 3] in angstrom, some of the file's frames. Atoms are bonded that are so in any of them.

    Raises:
        CannotPrepare: the file has no amino acid, a gap inside a chain, a residue in a chain that no force field knows,
            or a bond that no force field has.
    """
    sample = sample[np.isfinite(sample).all((1, 2))]
    if not len(sample):
        raise CannotPrepare("coordinates are not finite")
    every = read_residues(atoms, sample[0])
    members = [one for one in every if one.is_chain_member]
    if not members:
        raise CannotPrepare(_NONE)
    _refuse_nanometres(members, sample[0])
    bonded = [_is_bonded(one, other, sample) for one, other in pairwise(members)]
    alone = [not (before or behind) for before, behind in zip([False, *bonded], [*bonded, False], strict=True)]
    ligands = [one for one, on_its_own in zip(members, alone, strict=True) if one.hetero and on_its_own]
    left_out = [one for one in every if not one.is_chain_member] + ligands
    members = [one for one in members if one not in ligands]
    if not members:
        raise CannotPrepare(_NONE)
    _refuse_unknown(members)
    chains = _chains(members, sample)
    _refuse_bonds_to_others(members, left_out, atoms, sample[0])
    _refuse_side_bonds(members, sample)
    return _description(members, chains, _in_words(left_out), atoms, sample[0])


def _is_bonded(one: Residue, other: Residue, sample: Positions) -> bool:
    """Whether a peptide bond leads from one residue to the other in any frame."""
    return bool(_lengths(one, other, sample).min() <= PEPTIDE_BOND)


def _lengths(one: Residue, other: Residue, sample: Positions) -> FloatArray:
    """The distance from C of one residue to N of the other in every frame; infinite where an atom is missing."""
    if "C" not in one.heavy or "N" not in other.heavy:
        return np.full(len(sample), np.inf)
    return np.asarray(np.linalg.norm(sample[:, one.heavy["C"]] - sample[:, other.heavy["N"]], axis=1), float)


def _refuse_nanometres(members: list[Residue], frame: Positions) -> None:
    """Raise CannotPrepare where the bonds from N to C-alpha have their lengths in nanometres."""
    pairs = np.array([(one.heavy["N"], one.heavy["CA"]) for one in members if {"N", "CA"} <= one.heavy.keys()])
    if len(pairs):
        typical = float(np.median(np.linalg.norm(frame[pairs[:, 0]] - frame[pairs[:, 1]], axis=1)))
        if _COVALENT / 20 < typical < _COVALENT / 10:
            raise CannotPrepare(
                f"N and CA are {typical:.3f} apart: these are nanometres, not angstrom: multiply the coordinates by 10"
            )


def _refuse_unknown(members: list[Residue]) -> None:
    unknown = [one.label for one in members if one.standard is None]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise CannotPrepare(f"no force field parameters for residue {', '.join(unknown[:3])}{more}")


def _chains(members: list[Residue], sample: Positions) -> tuple[Chain, ...]:
    starts = [0]
    for k, (one, other) in enumerate(pairwise(members), 1):
        bonded = _is_bonded(one, other, sample)
        if one.chain != other.chain and bonded and not _ends(one):
            raise CannotPrepare(f"C of {one.label} is bonded to N of {other.label}: a bond between two chains")
        if one.chain != other.chain or (not bonded and (one.segment != other.segment or _ends(one) or _begins(other))):
            starts.append(k)
        elif not bonded:
            raise CannotPrepare(f"gap in the chain: {_gap(one, other, sample)}")
    chains = []
    for first, stop in zip(starts, [*starts[1:], len(members)], strict=True):
        start, end = members[first], members[stop - 1]
        open_ended = stop - first == 1 or _ends(end) or _begins(start)
        cyclic = not open_ended and _lengths(end, start, sample).max() <= PEPTIDE_BOND
        chains.append(Chain(first, stop - 1, start.chain, cyclic))
    return tuple(chains)


def _gap(one: Residue, other: Residue, sample: Positions) -> str:
    for residue, atom in ((one, "C"), (other, "N")):
        if atom not in residue.heavy:
            return f"{residue.label} has no atom {atom}"
    return f"C of {one.label} is {_lengths(one, other, sample).min():.1f} angstrom from N of {other.label}"


def _ends(residue: Residue) -> bool:
    """Whether the file marks a residue as the last of a chain."""
    return residue.standard in C_CAPS or "OXT" in residue.heavy


def _begins(residue: Residue) -> bool:
    """Whether the file marks a residue as the first of a chain."""
    nitrogen = residue.heavy.get("N", -1)
    return residue.standard in N_CAPS or len(residue.hydrogens.get(nitrogen, ())) > 1


def _refuse_bonds_to_others(members: list[Residue], others: list[Residue], atoms: FileAtoms, frame: Positions) -> None:
    """Raise CannotPrepare for nucleic acids, and for a ligand that is bonded to a chain."""
    for other in others:
        if other.name in _NUCLEOTIDES and len(other.heavy) > 1:
            raise CannotPrepare(f"{other.label}: energies of nucleic acids are not supported")
    bonding = [
        (other, row)
        for other in others
        if other.name not in _WATERS and len(other.heavy) > 1
        for row in other.heavy.values()
        if (atoms.element[row] or atoms.name[row][:1]) in _BONDING
    ]
    if not bonding:
        return
    own = [(one, name, row) for one in members for name, row in one.heavy.items()]
    tree = cKDTree(frame[[row for *_, row in own]])
    for other, row in bonding:
        length, k = tree.query(frame[row])
        if length < _COVALENT:
            one, name, _ = own[int(k)]
            raise CannotPrepare(f"{other.label} is bonded to {name} of {one.label}: no force field parameters")


def _refuse_side_bonds(members: list[Residue], sample: Positions) -> None:
    """Raise CannotPrepare for a bond between side chains, or of one to a chain's end, that is no disulfide.

    Lactams, esters, thioesters and thioethers: C of one residue and N, O or S of another, not in sequence, within the
    length of a bond in every frame.
    """

    def rows(elements: str) -> list[tuple[int, str, int]]:
        return [
            (k, name, row) for k, one in enumerate(members) for name, row in one.heavy.items() if name[0] in elements
        ]

    carbons = rows("C")
    tree = cKDTree(sample[0, [row for *_, row in carbons]])
    for k, name, row in rows("NOS"):
        for residue, carbon, other in (carbons[int(c)] for c in tree.query_ball_point(sample[0, row], _COVALENT)):
            is_peptide = carbon == "C" and name == "N"
            if residue == k or is_peptide:
                continue
            if (np.linalg.norm(sample[:, row] - sample[:, other], axis=1) < _COVALENT).all():
                raise CannotPrepare(
                    f"{carbon} of {members[residue].label} is bonded to {name} of {members[k].label}: no force field "
                    "parameters"
                )


def _in_words(left_out: list[Residue]) -> str:
    counts = Counter(one.name for one in left_out)
    labels = {one.name: one.label for one in left_out}
    return ", ".join(labels[name] if count == 1 else f"{count} {name}" for name, count in counts.most_common())


def _description(
    members: list[Residue], chains: tuple[Chain, ...], left_out: str, atoms: FileAtoms, frame: Positions
) -> Description:
    table: list[tuple[str, str, int, int]] = []  # atom, residue, its index, row
    misfit = "" if hydrogens_are_near(members, frame) else "a hydrogen is not beside its heavy atom"
    given = any(one.hydrogens for one in members)
    for k, one in enumerate(members):
        # A hydrogen far from its heavy atom shows no protonation.
        shown = given and hydrogens_are_near([one], frame)
        name, names, own_misfit = with_hydrogens(one, atoms) if shown else (str(one.standard), one.names, "")
        misfit = misfit or own_misfit
        table += [(names[row], name, k, row) for row in sorted(names)]
    atom_names, residue_names, residues, columns = (np.array(column) for column in zip(*table, strict=True))
    molecule = Molecule(Atoms(atom_names, residue_names, residues), chains, tuple(one.label for one in members))
    found = Description(molecule, columns, left_out)
    return found.without_hydrogens(misfit) if misfit else found
