"""Heavy atoms of the twenty residues as a Z-matrix, and their ideal geometry measured from conformations.

Every heavy atom but N, CA and C is placed from three atoms of its own residue by a bond length, a bond angle and a
dihedral, which is one of the residue's torsions plus a constant, or a constant alone (rings, chirality). The backbone
is placed from the previous residue by phi, psi and omega, or from a frame. Lengths in angstrom, angles in radian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ebabench.structures import ONE_TO_THREE, THREE_TO_ONE, Atoms

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
TORSIONS = ("phi", "psi", "omega", "chi1", "chi2", "chi3", "chi4")
PHI, PSI, OMEGA = range(3)

# atom: parent, grandparent, great-grandparent [torsion]. The first atom that names a torsion defines it.
_COMMON = "O: C CA N psi; OXT: C CA N psi"
_SIDE_CHAINS = {
    "A": "CB",
    "C": "CB; SG chi1",
    "D": "CB; CG chi1; OD1 chi2; OD2: CG CB CA chi2",
    "E": "CB; CG chi1; CD chi2; OE1 chi3; OE2: CD CG CB chi3",
    "F": "CB; CG chi1; CD1 chi2; CD2: CG CB CA chi2; CE1: CD1 CG CB; CE2: CD2 CG CB; CZ: CE1 CD1 CG",
    "G": "",
    "H": "CB; CG chi1; ND1 chi2; CD2: CG CB CA chi2; CE1: ND1 CG CB; NE2: CD2 CG CB",
    "I": "CB; CG1 chi1; CG2: CB CA N chi1; CD1: CG1 CB CA chi2",
    "K": "CB; CG chi1; CD chi2; CE chi3; NZ chi4",
    "L": "CB; CG chi1; CD1 chi2; CD2: CG CB CA chi2",
    "M": "CB; CG chi1; SD chi2; CE chi3",
    "N": "CB; CG chi1; OD1 chi2; ND2: CG CB CA chi2",
    "P": "CB; CG chi1; CD chi2",
    "Q": "CB; CG chi1; CD chi2; OE1 chi3; NE2: CD CG CB chi3",
    "R": "CB; CG chi1; CD chi2; NE chi3; CZ chi4; NH1: CZ NE CD; NH2: CZ NE CD",
    "S": "CB; OG chi1",
    "T": "CB; OG1 chi1; CG2: CB CA N chi1",
    "V": "CB; CG1 chi1; CG2: CB CA N chi1",
    "W": "CB; CG chi1; CD1 chi2; CD2: CG CB CA chi2; NE1: CD1 CG CB; CE2: CD2 CG CB; CE3: CD2 CG CB; "
    "CZ2: CE2 CD2 CG; CZ3: CE3 CD2 CG; CH2: CZ2 CE2 CD2",
    "Y": "CB; CG chi1; CD1 chi2; CD2: CG CB CA chi2; CE1: CD1 CG CB; CE2: CD2 CG CB; CZ: CE1 CD1 CG; OH: CZ CE1 CD1",
}


@dataclass(frozen=True)
class Row:
    """One atom of a Z-matrix. ``torsion`` is an index into TORSIONS, or -1 for a constant dihedral."""

    atom: str
    parents: tuple[str, str, str]
    torsion: int


def _rows(letter: str) -> tuple[Row, ...]:
    rows: list[Row] = []
    chain = ["N", "CA"]  # each atom with no parents of its own is bonded to the atom before it
    for entry in f"{_COMMON}; {_SIDE_CHAINS[letter]}".rstrip("; ").split("; "):
        head, _, tail = entry.partition(":")
        words = (head + tail).split()
        atom, words = words[0], words[1:]
        torsion = TORSIONS.index(words.pop()) if words and words[-1] in TORSIONS else -1
        if words:
            parents = (words[0], words[1], words[2])
        elif atom == "CB":
            parents = ("CA", "N", "C")
        else:
            parents = (chain[-1], chain[-2], chain[-3])
        if not tail:
            chain.append(atom)
        rows.append(Row(atom, parents, torsion))
    return tuple(rows)


ROWS = {letter: _rows(letter) for letter in AMINO_ACIDS}
SLOTS = {letter: ("N", "CA", "C", *(row.atom for row in ROWS[letter])) for letter in AMINO_ACIDS}
WIDTH = max(map(len, SLOTS.values()))

# Which slot, of which residue type, is placed from which slots by which torsion: padded with zeros, torsion -2.
PARENTS = np.zeros((len(AMINO_ACIDS), WIDTH, 3), np.int64)
TORSION = np.full((len(AMINO_ACIDS), WIDTH), -2, np.int64)
for _a, _letter in enumerate(AMINO_ACIDS):
    for _s, _row in enumerate(ROWS[_letter], start=3):
        PARENTS[_a, _s] = [SLOTS[_letter].index(parent) for parent in _row.parents]
        TORSION[_a, _s] = _row.torsion

# The slot whose dihedral is the torsion (chi1 to chi4; psi by way of O).
DRIVER = np.full((len(AMINO_ACIDS), len(TORSIONS)), -1, np.int64)
for _a in range(len(AMINO_ACIDS)):
    for _s in reversed(range(3, WIDTH)):
        if TORSION[_a, _s] >= 0:
            DRIVER[_a, TORSION[_a, _s]] = _s


def residue_types(sequence: str) -> npt.NDArray[np.int64]:
    """Return the index of each residue in AMINO_ACIDS. Raises ValueError for another letter."""
    wrong = sorted(set(sequence) - set(AMINO_ACIDS))
    if wrong:
        raise ValueError(f"the model knows the twenty amino acids only, not {', '.join(wrong)} in {sequence}")
    return np.array([AMINO_ACIDS.index(letter) for letter in sequence])


def slots_of(atoms: Atoms) -> npt.NDArray[np.int64]:
    """Return the slot [N] of every atom in its residue. Raises ValueError for an unknown atom."""
    slots = np.empty(len(atoms), np.int64)
    for k, (name, residue) in enumerate(zip(atoms.name, atoms.residue_name, strict=True)):
        letter = THREE_TO_ONE.get(str(residue), "X")
        if letter not in SLOTS or name not in SLOTS[letter]:
            raise ValueError(f"residue {int(atoms.residue[k]) + 1}: no heavy atom {name} in {residue}")
        slots[k] = SLOTS[letter].index(str(name))
    return slots


def atoms_of(sequence: str) -> Atoms:
    """Return the heavy atoms of a peptide with free termini, in the order of the Z-matrix."""
    rows = [
        (slot, ONE_TO_THREE[letter], index)
        for index, letter in enumerate(sequence)
        for slot in SLOTS[letter]
        if slot != "OXT" or index == len(sequence) - 1
    ]
    names, residues, numbers = zip(*rows, strict=True)
    return Atoms(np.array(names), np.array(residues), np.array(numbers))
