"""Molecules of every kind that has an energy, built by OpenMM alone, and their energies by OpenMM alone."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit
from proteins import HELIX, STRAND, build

REFERENCE = openmm.Platform.getPlatformByName("Reference")
FILES = {
    "amber99sbildn-obc": ("amber99sbildn.xml", "amber99_obc.xml"),
    "amber14-gbn2": ("amber14-all.xml", "implicit/gbn2.xml"),
    "amber14-gbn2-restrained": ("amber14-all.xml", "implicit/gbn2.xml"),
    "charmm36-gbn2": ("charmm36.xml", "implicit/gbn2.xml"),
}


@cache
def forcefield(protocol: str) -> app.ForceField:
    return app.ForceField(*FILES[protocol])


def heavy_pdb(*chains: list[tuple[str, str, int, np.ndarray]], hetero: str = "") -> str:
    """A PDB file of chains A, B, ...: atoms as name, residue name, residue number and position in angstrom."""
    lines, serial = [], 0
    for chain, atoms in zip("ABCDEF", chains, strict=False):
        for name, residue, number, (x, y, z) in atoms:
            serial += 1
            padded = name if len(name) == 4 else f" {name:<3}"
            lines.append(
                f"ATOM  {serial:5d} {padded} {residue:<3} {chain}{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00"
                f"          {name[0]:>2}\n"
            )
        lines.append("TER\n")
    return "".join(lines) + hetero + "END\n"


def residues_of(sequence, torsions=STRAND, names=None, first=1):
    """Atoms of a built peptide, for ``heavy_pdb``; ``names`` replace residue names by index."""
    target = build(sequence, torsions)
    atoms = target.atoms
    return [
        (str(n), (names or {}).get(int(r), str(three)), int(r) + first, x)
        for n, three, r, x in zip(atoms.name, atoms.residue_name, atoms.residue, target.native, strict=True)
    ]


def capped(sequence, torsions=STRAND, c_cap="NME"):
    """ACE-SEQUENCE-NME or -NH2: the caps are cut from a glycine at either end."""
    rows = residues_of(f"G{sequence}G", torsions, first=0)
    last = len(sequence) + 1
    found = []
    for name, residue, number, x in rows:
        if number == 0:
            if name != "N":
                found.append(({"CA": "CH3"}.get(name, name), "ACE", 0, x))
        elif number == last:
            if name == "N" or (name == "CA" and c_cap == "NME"):
                found.append(({"CA": "C"}.get(name, name), c_cap, number, x))
        else:
            found.append((name, residue, number, x))
    return found


def bridged():
    """Two chains whose cysteines form a disulfide: the second is the first turned about an axis beyond its SG."""
    first = residues_of("GCG")
    at = {name: x for name, residue, _, x in first if residue == "CYS"}
    out = (at["SG"] - at["CB"]) / np.linalg.norm(at["SG"] - at["CB"])
    axis = np.cross(out, [0.3, 0.5, 0.8])
    axis /= np.linalg.norm(axis)
    centre = at["SG"] + 1.02 * out
    turn = 2 * np.outer(axis, axis) - np.eye(3)
    return first, [(name, residue, number, centre + turn @ (x - centre)) for name, residue, number, x in first]


def with_hydrogens(pdb: str, variants: dict[int, str] | None = None, protocol="amber99sbildn-obc"):
    """Topology and positions in nm of a heavy-atom PDB file after OpenMM's Modeller has added OXT and hydrogens.

    Residue names in the file must be PDBFixer's; ``variants`` by residue index.
    """
    from pdbfixer import PDBFixer

    fixer = PDBFixer(pdbfile=io.StringIO(pdb), platform=REFERENCE)
    fixer.missingResidues = {}
    fixer.findMissingAtoms()
    fixer.addMissingAtoms(seed=1)
    modeller = app.Modeller(fixer.topology, fixer.positions)
    chosen = [(variants or {}).get(residue.index) for residue in modeller.topology.residues()]
    modeller.addHydrogens(variants=chosen, platform=REFERENCE)
    return modeller.topology, np.array(modeller.positions.value_in_unit(unit.nanometer))


def write(path: Path, topology, positions) -> Path:
    with path.open("w") as file:
        app.PDBFile.writeFile(topology, positions * unit.nanometer, file, keepIds=False)
    return path


def energy_by_openmm(path: Path, protocol: str, **settings) -> float:
    """The energy of an all-atom PDB file, in kJ/mol: OpenMM's reader, force field and Reference platform."""
    pdb = app.PDBFile(str(path))
    system = forcefield(protocol).createSystem(pdb.topology, removeCMMotion=False, **settings)
    return energy_of(system, np.array(pdb.positions.value_in_unit(unit.nanometer)))


def energy_of(system, positions) -> float:
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), REFERENCE)
    context.setPositions(positions)
    return context.getState(getEnergy=True).getPotentialEnergy()._value


def cyclic(sequence="GAGAGG"):
    """Topology and positions in nm of a head-to-tail cycle, pulled together and minimised by OpenMM."""
    topology, positions = with_hydrogens(heavy_pdb(residues_of(sequence, HELIX)))
    residues = list(topology.residues())
    modeller = app.Modeller(topology, positions * unit.nanometer)
    drop = [a for a in residues[0].atoms() if a.name in ("H2", "H3")]
    drop += [a for a in residues[-1].atoms() if a.name == "OXT"]
    modeller.delete(drop)
    closed = modeller.topology
    residues = list(closed.residues())
    ends = [next(a for a in r.atoms() if a.name == n) for r, n in ((residues[-1], "C"), (residues[0], "N"))]
    closed.addBond(*ends)
    system = app.ForceField("amber99sbildn.xml").createSystem(closed)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), REFERENCE)
    context.setPositions(modeller.positions)
    openmm.LocalEnergyMinimizer.minimize(context, 10, 2000)
    return closed, np.array(context.getState(getPositions=True).getPositions()._value)
