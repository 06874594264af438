"""The protein in a file: its chains, told from waters, ions, ligands and caps; one of them as an ensemble."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.io.frames import FileAtoms, Frames
from ebabench.structures import THREE_TO_ONE, Atoms, Ensemble
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.structures.bonds import heavy_atom_names
from ebabench.structures.nomenclature import C_TERMINAL, N_TERMINAL, canonical, canonical_residue, parent_residue
from ebabench.structures.periodic import spanning_tree

_PEPTIDE_BOND = 2.5  # angstrom: no C of one residue and N of the next are nearer without a bond between them
_BACKBONE_BOND = 2.0  # angstrom, N to CA and CA to C
_CA_STEP = 5.0  # angstrom, between C-alphas of neighbours
_TAKEN = " (a modified residue taken for its parent)"
_NUMBER = re.compile(r"-?\d+")
_CAPS = frozenset(("ACE", "NME", "NMA", "NH2", "NHE", "NAC", "FOR"))


@dataclass(frozen=True)
class ProteinChain:
    """One chain of amino acids in a file.

    ``identifier``: its name in the file, the empty string where it has none. ``rows``: its atoms, hydrogens included,
    residue after residue, each in the order of the file. ``residues``: how many there are.
    """

    identifier: str
    rows: IndexArray
    residues: int

    def __str__(self) -> str:
        """What a message calls the chain."""
        return f"{self.identifier or 'without a name'} ({self.residues} residues)"


def protein_chains(atoms: FileAtoms, positions: Positions) -> list[ProteinChain]:
    """Return the chains of amino acids in a file, in file order.

    A residue counts as an amino acid if it has a C-alpha and is one by name, or has a bonded backbone N, CA, C. Another
    chain begins with another chain identifier; and, where no peptide bond leads on, behind a TER record, where residue
    numbers do not rise, between the polymer and HETATM records, and at the atoms of an end (OXT, the hydrogens of NH3+,
    a cap) if residue numbers leave no gap there. Where a file has longer chains, a single amino acid on its own is a
    ligand.

    Args:
        atoms: the N atoms.
        positions: [N, 3] in angstrom, by which peptide bonds are known.
    """
    order = np.argsort(atoms.residue, kind="stable")
    starts = np.flatnonzero(np.diff(atoms.residue[order], prepend=-1))
    residues = [_Residue(rows, atoms, positions) for rows in np.split(order, starts[1:])] if len(order) else []
    chains: list[list[_Residue]] = []
    between = 0  # caps since the last amino acid
    for residue in residues:
        between += residue.is_cap
        if not residue.is_amino_acid:
            continue
        if chains and not _begins(chains[-1][-1], residue, between):
            chains[-1].append(residue)
        else:
            chains.append([residue])
        between = 0
    if any(len(chain) > 1 for chain in chains):
        chains = [chain for chain in chains if len(chain) > 1]
    return [ProteinChain(chain[0].chain, np.concatenate([r.rows for r in chain]), len(chain)) for chain in chains]


def select_chain(frames: Frames, chain: str | None = None) -> Frames:
    """Return the frames of one protein chain with its hydrogens, residue after residue.

    Waters, ions, ligands, caps and other chains are left out, and ``notes`` say so.

    Args:
        frames: a file's.
        chain: the identifier of the chain that is meant; None for the only one.

    Raises:
        InputError: what ``chain_rows`` raises.
    """
    rows = chain_rows(frames, chain)
    left = np.ones(len(frames.atoms), bool)
    left[rows] = False
    others = Counter(_residue_names(frames.atoms.take(np.flatnonzero(left))))
    return frames.take(rows).noted(f"left out: {_some(others)}" if others else "")


def named_chain(frames: Frames, chain: str | None) -> Frames:
    """Return the frames of the chain of a name where there are several; of the only chain whatever its name.

    Args:
        frames: a file's.
        chain: the identifier of the chain that is meant; None for the only one.

    Raises:
        InputError: what ``select_chain`` raises.
    """
    if chain is not None and len(protein_chains(frames.atoms, frames.first())) < 2:
        chain = None
    return select_chain(frames, chain)


def chain_rows(frames: Frames, chain: str | None = None) -> IndexArray:
    """Return the atoms of one protein chain, hydrogens included, as rows of ``frames.atoms``.

    Args:
        frames: a file's.
        chain: the identifier of the chain that is meant; None for the only one.

    Raises:
        InputError: ``structure.no-protein``; ``structure.several-chains``, none is named, or two have that name;
            ``structure.unknown-chain``; ``structure.duplicate-atom``, atoms of a residue are there a second time.
    """
    found = protein_chains(frames.atoms, frames.first())
    source = frames.source
    if not found:
        raise InputError(
            f"{source}: no protein in it: no residue has a C-alpha and is an amino acid (there are "
            f"{_some(Counter(_residue_names(frames.atoms)))})",
            code="structure.no-protein",
            file=source,
        )
    named = [one for one in found if chain is None or one.identifier == chain]
    if not named:
        listed = ", ".join(map(str, found))
        raise InputError(
            f"{source}: no chain {chain} in it; its chains are {listed}: {_how_to_name(found, 'name one of these')}",
            code="structure.unknown-chain",
            file=source,
        )
    if len(named) > 1 and _out_of_order(frames.atoms, named):
        raise InputError(
            f"{source}: the residues of chain {named[0].identifier or 'without a name'} are not in their order: it is "
            f"in {len(named)} pieces, whose numbers do not rise; sort the atoms along the chain",
            code="structure.several-chains",
            file=source,
        )
    if len(named) > 1:
        what = (
            f"one is expected: {_how_to_name(named, 'name it')}"
            if chain is None
            else f"one of the name {chain} is expected"
        )
        alike = len({str(one) for one in named}) == 1
        models = "; if these are conformations, tell them apart as models (MODEL and ENDMDL, pdbx_PDB_model_num)"
        listed = ", ".join(map(str, named[:6])) + ", ..." * (len(named) > 6)
        raise InputError(
            f"{source}: {len(named)} protein chains, {listed}, where {what}, or take the others out" + models * alike,
            code="structure.several-chains",
            file=source,
        )
    _check_pieces(frames.atoms, named[0].rows, source)
    return named[0].rows


def _out_of_order(atoms: FileAtoms, chains: list[ProteinChain]) -> bool:
    """Whether pieces of one name have numbers of their own that do not rise: one chain, shuffled or turned round."""
    texts = [set(atoms.number[one.rows].tolist()) for one in chains]
    if len({one.identifier for one in chains}) > 1 or len(set().union(*texts)) < sum(map(len, texts)):
        return False
    first = [[int(number[0]) for text in own if (number := _NUMBER.match(text))] for own in texts]
    least = [min(numbers) for numbers in first if numbers]
    return least != sorted(least)


def _how_to_name(chains: list[ProteinChain], remedy: str) -> str:
    """The remedy where every chain has a name of its own; else another, because no option can tell them apart."""
    if len({one.identifier for one in chains} - {""}) == len(chains):
        return f"{remedy} (--chain)"
    return (
        "give each a name (a topology of a format that has chains, as PDB; chain_id of mdtraj, chainIDs of MDAnalysis)"
    )


def _check_pieces(atoms: FileAtoms, rows: IndexArray, source: str) -> None:
    """Raise InputError if a residue of the chain has heavy atoms a second time, in a piece without a backbone."""
    columns = atoms.chain, atoms.number, atoms.residue_name
    known = [name for name in np.unique(atoms.residue_name[rows]).tolist() if parent_residue(name) is not None]
    pieces = np.isin(atoms.residue_name, known) & ~atoms.hydrogen
    whole = [np.isin(atoms.residue, atoms.residue[atoms.name == name]) for name in ("N", "CA", "C")]
    pieces &= ~np.logical_and.reduce(whole)  # a free amino acid may have the number of a residue
    pieces[rows] = False
    own = set(zip(*(column[rows].tolist() for column in columns), strict=True)) if pieces.any() else set()
    for row in np.flatnonzero(pieces).tolist():
        if tuple(str(column[row]) for column in columns) in own:
            raise InputError(
                f"{source}: {atoms.label(row)} has atom {atoms.name[row]} more than once",
                code="structure.duplicate-atom",
                file=source,
            )


def heavy_atoms(frames: Frames, *, modified_as_parent: bool = False) -> tuple[Frames, Atoms]:
    """Return the frames without hydrogens, and their table of atoms under PDB names.

    Args:
        frames: one protein chain, as ``select_chain`` gives it.
        modified_as_parent: take a modified residue for the amino acid that it derives from (SEP for SER), over the
            atoms that the parent has; ``notes`` name it.

    Raises:
        InputError: ``structure.duplicate-atom``, a residue has an atom twice.
    """
    index = np.flatnonzero(~frames.atoms.hydrogen)
    notes = [f"{len(frames.atoms) - len(index)} hydrogens are left out"] if len(index) < len(frames.atoms) else []
    residue_name = frames.atoms.residue_name
    if modified_as_parent:
        parents, changes = _parents(frames.atoms)
        known = {name: heavy_atom_names(name) for name in THREE_TO_ONE}
        own = zip(frames.atoms.name.tolist(), parents.tolist(), (parents != residue_name).tolist(), strict=True)
        kept = np.array([not changed or name in known[parent] for name, parent, changed in own])
        index, residue_name, notes = index[kept[index]], parents, notes + changes
    heavy = frames.take(index)
    _, residue = np.unique(heavy.atoms.residue, return_inverse=True)
    atoms = canonical(Atoms(heavy.atoms.name, residue_name[index], residue.astype(np.int64)))
    seen: set[tuple[int, str]] = set()
    for row, key in enumerate(zip(atoms.residue.tolist(), atoms.name.tolist(), strict=True)):
        if key in seen:
            raise InputError(
                f"{frames.source}: {heavy.atoms.label(row)} has atom {key[1]} more than once",
                code="structure.duplicate-atom",
                file=frames.source,
            )
        seen.add(key)
    return heavy.whole(spanning_tree(atoms, heavy.native)).noted(*notes), atoms


def to_ensemble(frames: Frames, target: str, *, chain: str | None = None, modified_as_parent: bool = False) -> Ensemble:
    """Return the heavy atoms of one protein chain as an ensemble; frames on disk are read.

    Args:
        frames: a file's, or a trajectory's.
        target: the name of the target.
        chain: the identifier of the chain that is meant; None for the only one.
        modified_as_parent: see ``heavy_atoms``; the ensemble's ``notes`` say which residues.

    Raises:
        InputError: there is no such chain, or a residue has an atom twice.
    """
    heavy, atoms = heavy_atoms(select_chain(frames, chain), modified_as_parent=modified_as_parent)
    positions = np.asarray(heavy.positions[:], np.float32)
    return Ensemble(
        target,
        atoms,
        positions,
        random_weights=heavy.random_weights,
        weights=heavy.weights,
        notes=modifications(heavy),
    )


def modifications(frames: Frames) -> tuple[str, ...]:
    """Return the notes on residues that are taken for their parents."""
    return tuple(note for note in frames.notes if note.endswith(_TAKEN))


def _parents(atoms: FileAtoms) -> tuple[npt.NDArray[np.str_], list[str]]:
    """The residue names [N] with parents in place of modified residues, and what was changed."""
    change = {
        name: parent
        for name in np.unique(atoms.residue_name).tolist()
        if canonical_residue(name) not in THREE_TO_ONE and (parent := parent_residue(name)) in THREE_TO_ONE
    }
    names = np.array([change.get(name, name) for name in atoms.residue_name.tolist()], np.str_)
    first = np.unique(atoms.residue, return_index=True)[1]
    rows = [row for row in first.tolist() if atoms.residue_name[row] in change]
    return names, [f"{atoms.label(row)} as {names[row]}{_TAKEN}" for row in rows]


class _Residue:
    """One residue of a file: what is asked of it when chains are told apart."""

    def __init__(self, rows: IndexArray, atoms: FileAtoms, positions: Positions) -> None:
        first = int(rows[0])
        self.rows = rows
        self.chain, self.segment = str(atoms.chain[first]), int(atoms.segment[first])
        self.hetero = bool(atoms.hetero[first])
        digits = str(atoms.number[first]).rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
        self.number = int(digits) if digits.lstrip("-").isdecimal() else None
        self.places: dict[str, FloatArray] = {}
        for row in rows.tolist():
            if atoms.name[row] in ("N", "CA", "C"):
                self.places[str(atoms.name[row])] = positions[row]
        name, own = str(atoms.residue_name[first]), atoms.name[rows].tolist()
        standard = canonical_residue(name) in THREE_TO_ONE
        self.is_last = standard and not C_TERMINAL.isdisjoint(own)
        self.is_first = standard and len(N_TERMINAL.intersection(own)) > 1
        self.is_cap = name in _CAPS
        self.is_amino_acid = "CA" in self.places and not self.is_cap
        self.is_amino_acid &= parent_residue(name) is not None or self._is_backbone()

    def _is_backbone(self) -> bool:
        if not {"N", "CA", "C"} <= self.places.keys():
            return False
        lengths = [np.linalg.norm(self.places[name] - self.places["CA"]) for name in ("N", "C")]
        return bool(max(lengths) < _BACKBONE_BOND)

    def leads_to(self, other: _Residue) -> bool:
        """Whether a peptide bond leads to the other residue, or its C-alpha is a neighbour's."""
        if "C" in self.places and "N" in other.places:
            return float(np.linalg.norm(self.places["C"] - other.places["N"])) < _PEPTIDE_BOND
        return float(np.linalg.norm(self.places["CA"] - other.places["CA"])) < _CA_STEP


def _begins(last: _Residue, residue: _Residue, caps: int) -> bool:
    """Whether another chain begins with this residue, which so many caps part from the last."""
    if residue.chain != last.chain:
        return True
    step = None if residue.number is None or last.number is None else residue.number - last.number
    marked = (caps or last.is_last or residue.is_first) and step in (None, 0, caps + 1)
    falls = step is not None and step < 0
    apart = residue.segment != last.segment or falls or residue.hetero != last.hetero or bool(marked)
    return apart and not last.leads_to(residue)


def _residue_names(atoms: FileAtoms) -> list[str]:
    first = np.unique(atoms.residue, return_index=True)[1]
    return [str(name) for name in atoms.residue_name[first]]


def _some(names: Counter[str]) -> str:
    shown = [f"{count} {name}" for name, count in names.most_common(5)]
    return ", ".join(shown) + (f" and {len(names) - 5} other kinds" if len(names) > 5 else "")
