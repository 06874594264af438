"""A molecule with all atoms, bonds and force field parameters, ready for every one of its frames."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import openmm
from openmm import app, unit

from ebabench.physics.forcefields import forcefield
from ebabench.physics.hydrogens import Placement, plan_placement
from ebabench.physics.molecules import C_CAPS, N_CAPS, Molecule, parent_name, standard_residue_name
from ebabench.physics.protocols import Protocol
from ebabench.physics.protonation import expected_hydrogens
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.structures.nomenclature import is_hydrogen

Pairs = tuple[tuple[int, int], ...]

DISULFIDE = 3.0  # angstrom, as in openmm.app
_TEMPLATES = 32  # that stay in memory


class CannotPrepare(Exception):  # noqa: N818 - it is a finding about the structure, handed on as a reason
    """A structure has no energy; the message is the reason."""


class Incomplete(CannotPrepare):
    """The force field has no template for a residue without hydrogens: heavy atoms may be missing."""


@dataclass(frozen=True)
class Template:
    """A parametrised molecule with all its atoms.

    Attributes:
        topology: all A atoms and their bonds.
        system: the force field's parameters, without constraints.
        given: [N], index of each atom of the input among all atoms.
        placement: rules for the atoms that the input lacks.
    """

    topology: app.Topology
    system: openmm.System
    given: IndexArray
    placement: Placement

    @property
    def heavy(self) -> list[int]:
        """Indices of all atoms but hydrogens."""
        return [atom.index for atom in self.topology.atoms() if atom.element.symbol != "H"]

    def complete(self, positions: Positions) -> FloatArray:
        """Return the positions of all atoms.

        Args:
            positions: [S, N, 3] in angstrom, the atoms of the input.

        Returns:
            [S, A, 3] in nanometre.
        """
        full = np.zeros((len(positions), self.topology.getNumAtoms(), 3))
        full[:, self.given] = np.asarray(positions, float) / 10.0
        self.placement(full)
        return full


def disulfides(atoms: Atoms, positions: Positions) -> list[Pairs]:
    """Return the disulfide bonds of each frame.

    Two sulphurs within 3 angstrom are bonded, the nearest first, each at most once. A cysteine with a hydrogen at its
    sulphur and a deprotonated one (CYM) have no such bond.

    Args:
        atoms: [N] atoms.
        positions: [S, N, 3] in angstrom.

    Returns:
        For each frame the pairs of indices of bonded SG atoms, sorted.
    """
    sulphur = atoms.select("SG")
    alone = atoms.residue[_thiol_hydrogens(atoms) | (atoms.residue_name == "CYM")]
    sulphur = sulphur[~np.isin(atoms.residue[sulphur], alone)]
    if len(sulphur) < 2:
        return [()] * len(positions)
    first, second = np.triu_indices(len(sulphur), 1)
    first, second = sulphur[first], sulphur[second]
    distance = np.linalg.norm(positions[:, first] - positions[:, second], axis=-1)
    found: list[Pairs] = []
    for frame in distance:
        pairs: list[tuple[int, int]] = []
        for k in np.argsort(frame, kind="stable"):
            pair = int(first[k]), int(second[k])
            if frame[k] < DISULFIDE and not set(pair) & {atom for bonded in pairs for atom in bonded}:
                pairs.append(pair)
        found.append(tuple(sorted(pairs)))
    return found


def _thiol_hydrogens(atoms: Atoms) -> npt.NDArray[np.bool_]:
    """[N], True for hydrogens at the sulphur of a cysteine."""
    hydrogen = is_hydrogen(atoms.name) & np.char.startswith(np.char.lstrip(atoms.name, "0123456789"), "HG")
    return hydrogen & np.isin(atoms.residue, atoms.residue[atoms.select("SG")])


def build_template(molecule: Molecule | Atoms, protocol: Protocol, bonded: Pairs = ()) -> Template:
    """Return the parametrised molecule.

    A missing OXT of a free C-terminus is added, and hydrogens are added to a molecule that has none.

    Args:
        molecule: the molecule; Atoms are one chain.
        protocol: names the force field.
        bonded: pairs of indices of SG atoms that form disulfides.

    Raises:
        Incomplete: a molecule without hydrogens does not fit the force field; heavy atoms may be missing.
        CannotPrepare: the force field lacks parameters, or the hydrogens of the molecule do not fit it.
    """
    molecule = Molecule.of(molecule)
    unknown = sorted({name for name in molecule.residue_names if standard_residue_name(name) is None})
    if unknown:
        raise CannotPrepare(f"no force field parameters for residue {', '.join(unknown)}")
    paired = {int(molecule.atoms.residue[atom]) for pair in bonded for atom in pair}
    _refuse_loose_sulphurs(molecule, paired)
    topology = _topology(molecule, bonded)
    bare = not molecule.hydrogen.any()
    if bare:
        topology = _with_hydrogens(topology, molecule, paired)
    system = _parametrised(topology, molecule, protocol, bare=bare)
    index = {(atom.residue.index, atom.name): atom.index for atom in topology.atoms()}
    given = np.array([index[int(r), str(n)] for r, n in zip(molecule.atoms.residue, molecule.atoms.name, strict=True)])
    known = np.zeros(topology.getNumAtoms(), dtype=bool)
    known[given] = True
    elements = [atom.element.symbol for atom in topology.atoms()]
    bonds = [(bond.atom1.index, bond.atom2.index) for bond in topology.bonds()]
    try:
        placement = plan_placement(elements, bonds, known.tolist())
    except ValueError as error:
        raise CannotPrepare(str(error)) from error
    return Template(topology, system, given, placement)


def _refuse_loose_sulphurs(molecule: Molecule, paired: set[int]) -> None:
    """Raise CannotPrepare for a sulphur that should be bonded to another, by the residue's name or its hydrogens."""
    thiols = set(molecule.atoms.residue[_thiol_hydrogens(molecule.atoms)].tolist())
    bare = not molecule.hydrogen.any()
    for residue, name in enumerate(molecule.residue_names):
        if residue not in paired and (name == "CYX" or (name == "CYS" and not bare and residue not in thiols)):
            raise CannotPrepare(
                f"SG of {molecule.label(residue)} has no hydrogen and no other SG within {DISULFIDE:g} angstrom"
            )


_shared: OrderedDict[tuple[str, Pairs, str], Template] = OrderedDict()
_sharing = threading.Lock()


def shared_template(molecule: Molecule, protocol: Protocol, bonded: Pairs = ()) -> Template:
    """Return what `build_template` returns, from memory if the same molecule was parametrised before.

    The template must not be changed. Arguments and errors are those of `build_template`.
    """
    key = molecule.digest(), bonded, protocol.key(minimise=False)
    with _sharing:
        if key in _shared:
            _shared.move_to_end(key)
            return _shared[key]
    template = build_template(molecule, protocol, bonded)
    with _sharing:
        _shared[key] = template
        if len(_shared) > _TEMPLATES:
            _shared.popitem(last=False)
    return template


def _topology(molecule: Molecule, bonded: Pairs) -> app.Topology:
    """The atoms of the molecule, an OXT at every free C-terminus, and their bonds."""
    atoms = molecule.atoms
    topology = app.Topology()
    known = []
    starts = np.flatnonzero(np.diff(atoms.residue, prepend=-1, append=atoms.residue[-1] + 1))
    residues = []
    for part in molecule.chains:
        chain = topology.addChain()
        for number in range(part.first, part.last + 1):
            residue = topology.addResidue(parent_name(molecule.residue_names[number]), chain, str(number))
            residues.append(residue)
            for row in range(starts[number], starts[number + 1]):
                name = str(atoms.name[row])
                element = app.Element.getBySymbol("H" if molecule.hydrogen[row] else name[0])
                known.append(topology.addAtom(name, element, residue))
        if molecule.is_charged_end(part.last) and "OXT" not in {atom.name for atom in residue.atoms()}:
            topology.addAtom("OXT", app.element.oxygen, residue)
    topology.createStandardBonds()
    for part in molecule.chains:
        if part.cyclic:
            ends = (("C", residues[part.last]), ("N", residues[part.first]))
            last, first = ([atom for atom in residue.atoms() if atom.name == name] for name, residue in ends)
            if last and first:
                topology.addBond(last[0], first[0])
    for i, j in bonded:
        topology.addBond(known[i], known[j])
    return topology


def _with_hydrogens(topology: app.Topology, molecule: Molecule, paired: set[int]) -> app.Topology:
    """The same topology with the hydrogens of every residue, each after its parent."""
    full = app.Topology()
    same, bonds = {}, []
    for chain in topology.chains():
        new_chain = full.addChain(chain.id)
        for residue in chain.residues():
            new_residue = full.addResidue(residue.name, new_chain, residue.id)
            expected = expected_hydrogens(molecule, residue.index, disulfide=residue.index in paired)
            for atom in residue.atoms():
                same[atom] = full.addAtom(atom.name, atom.element, new_residue)
                bonds += [
                    (same[atom], full.addAtom(hydrogen.name, app.element.hydrogen, new_residue))
                    for hydrogen in expected
                    if hydrogen.parent == atom.name
                ]
    for i, j in [*bonds, *((same[bond[0]], same[bond[1]]) for bond in topology.bonds())]:
        full.addBond(i, j)
    return full


def _parametrised(topology: app.Topology, molecule: Molecule, protocol: Protocol, *, bare: bool) -> openmm.System:
    """The force field's System. Raises Incomplete or CannotPrepare where it has no template."""
    settings = {"nonbondedMethod": app.NoCutoff, "constraints": None, "removeCMMotion": False}
    if protocol.cutoff_nm is not None:
        settings |= {"nonbondedMethod": app.CutoffNonPeriodic, "nonbondedCutoff": protocol.cutoff_nm * unit.nanometer}
    parameters = forcefield(protocol.forcefield)
    try:
        if protocol.caps_are_patches:
            topology = _with_caps_in_their_neighbours(topology, molecule)
        return parameters.createSystem(topology, **settings)
    except ValueError as error:
        raise (Incomplete if bare else CannotPrepare)(_in_words(error, topology, molecule)) from error


def _in_words(error: ValueError, topology: app.Topology, molecule: Molecule) -> str:
    """OpenMM's reason, with the residue as the file calls it and without advice about OpenMM."""
    found = re.match(
        r"No template found for residue (\d+) \(\w+\)\.\s+(.*?[.]?)(\s+(Is the|You may|For more).*)?$", str(error)
    )
    if not found:
        return str(error).split("For more information")[0].strip()
    residue = list(topology.residues())[int(found[1])]
    return f"no template for {molecule.label(int(residue.id))}: {found[2]}".rstrip(".")


def _with_caps_in_their_neighbours(topology: app.Topology, molecule: Molecule) -> app.Topology:
    """The same atoms and bonds in the same order, with every cap a part of the residue beside it."""
    merged = app.Topology()
    same = {}
    for chain in topology.chains():
        new_chain = merged.addChain(chain.id)
        residues = list(chain.residues())
        names = [molecule.residue_names[residue.index] for residue in residues]
        new_residue = None
        for k, residue in enumerate(residues):
            joined = names[k] in C_CAPS or (k > 0 and names[k - 1] in N_CAPS)
            if new_residue is None or not joined:
                own = residues[k + 1] if names[k] in N_CAPS and k + 1 < len(residues) else residue
                new_residue = merged.addResidue(own.name, new_chain, own.id)
            for atom in residue.atoms():
                name = (
                    f"{atom.name}{residue.name}"
                    if molecule.residue_names[residue.index] in N_CAPS | C_CAPS
                    else atom.name
                )
                same[atom] = merged.addAtom(name, atom.element, new_residue)
    for bond in topology.bonds():
        merged.addBond(same[bond[0]], same[bond[1]])
    return merged
