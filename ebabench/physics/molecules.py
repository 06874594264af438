"""The molecule that an energy belongs to: its atoms, its chains and their ends, its protonation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ebabench.structures import THREE_TO_ONE, Atoms
from ebabench.structures.arrays import IndexArray, Positions
from ebabench.structures.bonds import heavy_atoms
from ebabench.structures.nomenclature import is_hydrogen

# Residue names that fix the protonation of a residue, and the amino acid that each belongs to.
VARIANTS = {
    "HID": "HIS", "HIE": "HIS", "HIP": "HIS", "ASH": "ASP", "GLH": "GLU", "LYN": "LYS", "CYX": "CYS", "CYM": "CYS",
}  # fmt: skip
N_CAPS, C_CAPS = frozenset({"ACE"}), frozenset({"NME", "NH2"})
CAPS = N_CAPS | C_CAPS
PEPTIDE_BOND = 2.0  # angstrom; beyond, C and N of two residues are not bonded

# Names of CHARMM, GROMACS, CYANA and others.
_ALIASES = {
    "HSD": "HID", "HISD": "HID", "HISA": "HID", "HSE": "HIE", "HISE": "HIE", "HISB": "HIE", "HSP": "HIP", "HISP": "HIP",
    "HISH": "HIP", "ASPP": "ASH", "ASPH": "ASH", "GLUP": "GLH", "GLUH": "GLH", "LSN": "LYN", "LYSN": "LYN",
    "LYSH": "LYS", "CYS2": "CYX", "CYSS": "CYX", "CYSH": "CYS", "CYSD": "CYM", "NHE": "NH2", "NMA": "NME", "CT3": "NME",
    "HIS+": "HIP", "LYS+": "LYS", "ARG+": "ARG", "ASP-": "ASP", "GLU-": "GLU",
}  # fmt: skip
_KNOWN = frozenset(THREE_TO_ONE) | frozenset(VARIANTS) | CAPS


def standard_residue_name(name: str) -> str | None:
    """Return the name of a residue in the vocabulary of this module.

    The vocabulary is the twenty amino acids, the protonation variants in ``VARIANTS`` and the caps in ``CAPS``. Amber's
    names of terminal residues (``NALA``, ``CHIE``) give the residue.

    Args:
        name: a residue name as a file has it.

    Returns:
        The name, or None for a residue that no protocol has parameters for.

    Example:
        >>> standard_residue_name("HSE"), standard_residue_name("NALA"), standard_residue_name("SEP")
        ('HIE', 'ALA', None)
    """
    name = name.strip().upper()
    name = _ALIASES.get(name, name)
    if name not in _KNOWN and len(name) == 4 and name[0] in "NC":
        name = _ALIASES.get(name[1:], name[1:])
        return name if name in _KNOWN - CAPS else None
    return name if name in _KNOWN else None


def parent_name(name: str) -> str:
    """Return the amino acid of a protonation variant, and every other name unchanged."""
    return VARIANTS.get(name, name)


@dataclass(frozen=True)
class Chain:
    """One chain of a molecule.

    Attributes:
        first: index of its first residue.
        last: index of its last residue.
        name: its identifier in the file, for messages.
        cyclic: True if C of the last residue is bonded to N of the first.
    """

    first: int
    last: int
    name: str = ""
    cyclic: bool = False


@dataclass(frozen=True)
class Molecule:
    """One or more chains of amino acids and caps.

    An end of a chain is a cap, if the first or last residue is one, else it is charged. Residues of a chain are bonded
    to each other in sequence.

    Attributes:
        atoms: [N] heavy atoms, and hydrogens if the structure has them. Atom names are those of PDB version 3; residue
            names may be protonation variants and caps. Residues count from 0 over all chains.
        chains: the chains; together they hold every residue once, in order.
        labels: [residues], what messages call each residue.
    """

    atoms: Atoms
    chains: tuple[Chain, ...]
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, atoms: Atoms | Molecule) -> Molecule:
        """Return ``atoms`` as one chain; a Molecule is returned unchanged."""
        if isinstance(atoms, Molecule):
            return atoms
        names, inverse = np.unique(atoms.residue_name, return_inverse=True)
        renamed = np.array([standard_residue_name(str(name)) or str(name) for name in names])[inverse]
        return cls(Atoms(atoms.name, renamed, atoms.residue), (Chain(0, int(atoms.residue[-1])),))

    @cached_property
    def residue_names(self) -> list[str]:
        """[residues], the name of each residue."""
        first = np.flatnonzero(np.diff(self.atoms.residue, prepend=-1))
        return [str(name) for name in self.atoms.residue_name[first]]

    def label(self, residue: int) -> str:
        """Return what messages call a residue."""
        return self.labels[residue] if self.labels else f"{self.residue_names[residue]}{residue + 1}"

    @cached_property
    def hydrogen(self) -> npt.NDArray[np.bool_]:
        """[N], True for hydrogens."""
        return is_hydrogen(self.atoms.name)

    def is_charged_start(self, residue: int) -> bool:
        """True for the first residue of a chain whose N-terminus is free."""
        return any(c.first == residue and not c.cyclic for c in self.chains) and (
            self.residue_names[residue] not in CAPS
        )

    def is_charged_end(self, residue: int) -> bool:
        """True for the last residue of a chain whose C-terminus is free."""
        return any(c.last == residue and not c.cyclic for c in self.chains) and (
            self.residue_names[residue] not in CAPS
        )

    def take(self, index: IndexArray) -> Molecule:
        """Return the molecule with only the atoms at ``index``; every residue must keep at least one atom."""
        return Molecule(self.atoms.take(index), self.chains, self.labels)

    def digest(self) -> str:
        """Return the SHA-256 of everything that defines the molecule: the key of its stored energies.

        The digest of a single chain that is not cyclic is that of its atoms.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = self.atoms.digest()
        if len(self.chains) == 1 and not self.chains[0].cyclic:
            return digest
        rows = [f"{chain.first}|{chain.last}|{chain.cyclic}" for chain in self.chains]
        return hashlib.sha256("\n".join([digest, *rows]).encode()).hexdigest()

    @cached_property
    def missing(self) -> tuple[tuple[int, str], ...]:
        """The heavy atoms that residues lack, as index of the residue and name; a missing OXT does not count."""
        present: dict[int, set[str]] = {}
        for residue, name in zip(self.atoms.residue.tolist(), self.atoms.name.tolist(), strict=True):
            present.setdefault(residue, set()).add(name)
        return tuple(
            (residue, atom)
            for residue, name in enumerate(self.residue_names)
            for atom in sorted(heavy_atoms(parent_name(name)) - present[residue])
        )

    @cached_property
    def peptide_bonds(self) -> IndexArray:
        """[bonds, 2], indices of C and N of every peptide bond, those of caps and cycles included."""
        at = {(int(r), str(n)): k for k, (r, n) in enumerate(zip(self.atoms.residue, self.atoms.name, strict=True))}
        pairs = [(k, k + 1) for chain in self.chains for k in range(chain.first, chain.last)]
        pairs += [(chain.last, chain.first) for chain in self.chains if chain.cyclic]
        bonds = [(at[i, "C"], at[j, "N"]) for i, j in pairs if {(i, "C"), (j, "N")} <= at.keys()]
        return np.array(bonds, dtype=np.int64).reshape(-1, 2)

    def gaps(self, positions: Positions) -> list[str]:
        """Return for each frame what is wrong with its chains, or the empty string.

        A peptide bond longer than 2 angstrom is a gap: residues are missing, or the structure is torn.

        Args:
            positions: [S, N, 3] in angstrom.
        """
        carbon, nitrogen = self.peptide_bonds.T
        length = np.linalg.norm(positions[:, carbon] - positions[:, nitrogen], axis=-1)
        found = []
        for frame in length:
            longest = int(np.argmax(frame)) if len(frame) else -1
            if longest >= 0 and frame[longest] > PEPTIDE_BOND:
                i, j = (self.label(int(self.atoms.residue[side[longest]])) for side in (carbon, nitrogen))
                found.append(f"gap in the chain: C of {i} is {frame[longest]:.1f} angstrom from N of {j}")
            else:
                found.append("")
        return found
