"""From a table of atoms to what a force field needs: all atoms, their bonds, and their places in every frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import openmm
from openmm import app, unit

from ebabench.physics.hydrogens import Placement, plan_placement
from ebabench.physics.protocols import Protocol
from ebabench.structures import THREE_TO_ONE, Atoms
from ebabench.structures.arrays import Positions
from ebabench.structures.nomenclature import is_hydrogen

Array = npt.NDArray[np.float64]
Pairs = tuple[tuple[int, int], ...]

DISULFIDE = 3.0  # angstrom, as openmm.app has it


class CannotPrepare(Exception):  # noqa: N818 - it is a finding about the structure, handed on as a reason
    """Why a structure has no energy."""


class Incomplete(CannotPrepare):
    """The force field knows no residue with these heavy atoms: some may be missing."""


@dataclass(frozen=True)
class Template:
    """A molecule with all its atoms. ``given`` [N]: where the input's atoms stand in the full table."""

    topology: app.Topology
    system: openmm.System
    given: npt.NDArray[np.int64]
    placement: Placement

    @property
    def heavy(self) -> list[int]:
        """Indices of all atoms but hydrogens."""
        return [atom.index for atom in self.topology.atoms() if atom.element.symbol != "H"]

    def complete(self, positions: Positions) -> Array:
        """All atoms [S, A, 3] in nm from the input's [S, N, 3] in angstrom."""
        full = np.zeros((len(positions), self.topology.getNumAtoms(), 3))
        full[:, self.given] = positions / 10.0
        self.placement(full)
        return full


def disulfides(atoms: Atoms, positions: Positions) -> list[Pairs]:
    """For each frame, the pairs of SG atoms (indices) that are bonded: the nearest first, each atom once."""
    sulphur = atoms.select("SG")
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


def _topology(atoms: Atoms, bonded: Pairs) -> app.Topology:
    strange = sorted(set(atoms.residue_name.tolist()) - set(THREE_TO_ONE))
    if strange:
        raise CannotPrepare(f"no force field parameters for residue {', '.join(strange)}")
    topology = app.Topology()
    chain = topology.addChain()
    known = []
    hydrogen = is_hydrogen(atoms.name)
    for number in range(int(atoms.residue[-1]) + 1):
        rows = np.flatnonzero(atoms.residue == number)
        residue = topology.addResidue(str(atoms.residue_name[rows[0]]), chain)
        for row in rows:
            name = str(atoms.name[row])
            element = app.Element.getBySymbol("H" if hydrogen[row] else name[0])
            known.append(topology.addAtom(name, element, residue))
    if "OXT" not in {atom.name for atom in residue.atoms()}:
        topology.addAtom("OXT", app.element.oxygen, residue)
    topology.createStandardBonds()
    for i, j in bonded:
        topology.addBond(known[i], known[j])
    return topology


def _with_hydrogens(topology: app.Topology) -> app.Topology:
    # Histidine's tautomer must not depend on a frame, or the frames of one target would have different energies.
    variants = ["HID" if residue.name == "HIS" else None for residue in topology.residues()]
    # Only the topology is wanted of Modeller, so that the places may be anything but equal.
    anywhere = np.random.default_rng(0).random((topology.getNumAtoms(), 3)) * 10.0
    modeller = app.Modeller(topology, anywhere * unit.nanometer)
    modeller.addHydrogens(variants=variants, platform=openmm.Platform.getPlatformByName("Reference"))
    return modeller.topology


@lru_cache(maxsize=8)
def _forcefield(files: tuple[str, ...]) -> app.ForceField:
    return app.ForceField(*files)


def build_template(atoms: Atoms, protocol: Protocol, bonded: Pairs = ()) -> Template:
    """Adds OXT where it is missing, and hydrogens to a table that has none, and parametrises the molecule.

    ``bonded`` are disulfides. Raises Incomplete or CannotPrepare where an atom is missing or unknown.
    """
    full = _topology(atoms, bonded)
    bare = not is_hydrogen(atoms.name).any()
    if bare:
        full = _with_hydrogens(full)
    try:
        system = _forcefield(protocol.forcefield).createSystem(
            full, nonbondedMethod=app.NoCutoff, constraints=None, removeCMMotion=False
        )
    except ValueError as error:
        reason = str(error).split("For more information")[0].strip()
        raise (Incomplete if bare else CannotPrepare)(reason) from error
    place = {(atom.residue.index, atom.name): atom.index for atom in full.atoms()}
    given = np.array([place[int(r), str(n)] for r, n in zip(atoms.residue, atoms.name, strict=True)])
    known = np.zeros(full.getNumAtoms(), dtype=bool)
    known[given] = True
    elements = [atom.element.symbol for atom in full.atoms()]
    bonds = [(bond.atom1.index, bond.atom2.index) for bond in full.bonds()]
    try:
        placement = plan_placement(elements, bonds, known.tolist())
    except ValueError as error:
        raise CannotPrepare(str(error)) from error
    return Template(full, system, given, placement)
