"""Reference molecular dynamics of small peptides, in the ATLAS layout.

Implicit solvent (amber99sb-ildn with GBSA-OBC), hydrogen mass repartitioning, 4 fs, Langevin middle integrator.
A trajectory is written in chunks, each with the integrator's full state, so that a killed simulation goes on where it
stopped and ends with the same frames as an undisturbed one.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError

if TYPE_CHECKING:
    from openmm import app

FORCEFIELD = ("amber99sbildn.xml", "amber99_obc.xml")
_CHUNK_FRAMES = 100
_ATTEMPTS = 20


@dataclass(frozen=True)
class Simulation:
    """One replica. ``start``: "random", or phi, psi in degrees for each residue (jittered by ``jitter`` degrees)."""

    name: str
    sequence: str
    replica: int
    nanoseconds: float
    frame_ps: float
    temperature_k: float
    seed: int
    start: str | tuple[tuple[float, float], ...] = "random"
    jitter: float = 5.0
    equilibration_ps: float = 100.0
    timestep_fs: float = 4.0
    hydrogen_mass_amu: float = 3.0
    friction_per_ps: float = 1.0

    @property
    def frames(self) -> int:
        """Number of frames, the starting frame included (as in ATLAS, where frame 0 is the PDB of replica 1)."""
        return round(self.nanoseconds * 1000 / self.frame_ps) + 1

    def digest(self) -> str:
        """Identity of the trajectory: every setting enters it."""
        text = json.dumps({**asdict(self), "forcefield": FORCEFIELD}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def start_torsions(simulation: Simulation, attempt: int = 0) -> list[tuple[float, float]]:
    """Phi and psi (degrees) of every residue at the start; seeded."""
    rng = np.random.default_rng([simulation.seed, attempt] if attempt else simulation.seed)
    if simulation.start == "random":
        phi = -60 - 80 * rng.random(len(simulation.sequence))
        psi = -60 + 200 * rng.random(len(simulation.sequence))
        return list(zip(phi.tolist(), psi.tolist(), strict=True))
    torsions = np.array(simulation.start, dtype=float)
    if torsions.shape != (len(simulation.sequence), 2):
        raise ValueError(f"{simulation.name}: start needs (phi, psi) for each of {len(simulation.sequence)} residues")
    torsions += simulation.jitter * rng.standard_normal(torsions.shape)
    return [(float(a), float(b)) for a, b in torsions]


def build_peptide(sequence: str, torsions: list[tuple[float, float]]) -> app.Modeller:
    """All-atom peptide with charged termini at pH 7 from backbone torsions in degrees."""
    import PeptideBuilder
    from Bio.PDB import PDBIO
    from openmm import Platform, app
    from pdbfixer import PDBFixer
    from PeptideBuilder import Geometry

    structure = None
    for index, letter in enumerate(sequence):
        geometry = Geometry.geometry(letter)
        geometry.phi = torsions[index][0]
        if structure is None:
            structure = PeptideBuilder.initialize_res(geometry)
        else:
            geometry.psi_im1 = torsions[index - 1][1]
            PeptideBuilder.add_residue(structure, geometry)
    PeptideBuilder.add_terminal_OXT(structure)
    writer = PDBIO()
    writer.set_structure(structure)
    text = io.StringIO()
    writer.save(text)
    text.seek(0)
    reference = Platform.getPlatformByName("Reference")
    fixer = PDBFixer(pdbfile=text, platform=reference)
    fixer.findMissingResidues()
    fixer.findMissingAtoms()
    fixer.addMissingAtoms()
    modeller = app.Modeller(fixer.topology, fixer.positions)
    modeller.addHydrogens(app.ForceField(*FORCEFIELD), platform=reference)
    return modeller


def langevin_context(simulation: Simulation, topology: app.Topology, platform: str = "Reference") -> Any:
    """A molecule in the settings of ``simulation``, to step through.

    On OpenMM's Reference platform it has ebabench's kernel, on another OpenMM's own forces. Raises InputError if OpenMM
    lacks the platform.
    """
    import openmm
    from openmm import app, unit

    from ebabench.physics.accelerate import accelerate

    system = app.ForceField(*FORCEFIELD).createSystem(
        topology,
        nonbondedMethod=app.NoCutoff,
        constraints=app.HBonds,
        hydrogenMass=simulation.hydrogen_mass_amu * unit.amu,
    )
    integrator = openmm.LangevinMiddleIntegrator(
        simulation.temperature_k, simulation.friction_per_ps, simulation.timestep_fs / 1000
    )
    integrator.setRandomNumberSeed(simulation.seed)
    try:
        chosen = openmm.Platform.getPlatformByName(platform)
        return openmm.Context(accelerate(system) if platform == "Reference" else system, integrator, chosen)
    except openmm.OpenMMException as error:
        raise InputError(f"{simulation.name}: OpenMM cannot use its platform {platform} here: {error}") from error


def _start(simulation: Simulation) -> tuple[app.Modeller, Any]:
    """The minimised peptide; torsions at which the chain runs through itself or turns a centre over are drawn again."""
    import openmm

    random.seed(simulation.seed)  # OpenMM puts hydrogens at random places before it minimises them
    for attempt in range(_ATTEMPTS):
        modeller = build_peptide(simulation.sequence, start_torsions(simulation, attempt))
        context = langevin_context(simulation, modeller.topology)
        context.setPositions(modeller.positions)
        openmm.LocalEnergyMinimizer.minimize(context, 10, 500)
        energy = context.getState(getEnergy=True).getPotentialEnergy()._value
        if energy < 0 and not inverted_centres(modeller.topology, positions_of(context)):
            return modeller, context
    raise FloatingPointError(f"{simulation.name}: no start without clashes in {_ATTEMPTS} attempts")


def inverted_centres(topology: app.Topology, positions: npt.NDArray[np.float64]) -> list[str]:
    """The C-alphas, and C-betas of THR and ILE, whose handedness is not that of L-amino acids; positions [N, 3].

    Minimising a chain that runs through itself can turn a centre inside out.
    """
    inverted = []
    for residue in topology.residues():
        at = {atom.name: positions[atom.index] for atom in residue.atoms()}
        for centre, a, b, c in (("CA", "N", "C", "CB"), ("CB", "CA", "OG1", "CG2"), ("CB", "CA", "CG1", "CG2")):
            if (residue.name, centre) != ("VAL", "CB") and {centre, a, b, c} <= at.keys():
                volume = np.cross(at[a] - at[centre], at[b] - at[centre]) @ (at[c] - at[centre])
                if volume < 0:
                    inverted.append(f"{residue.name}{residue.index + 1} {centre}")
    return inverted


def _replace_file(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data)
    temporary.replace(path)


def positions_of(context: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """All atoms [N, 3] in nm. Raises FloatingPointError if the simulation has diverged."""
    positions = context.getState(getPositions=True).getPositions(asNumpy=True)._value
    if not np.isfinite(positions).all():
        raise FloatingPointError("the simulation diverged: positions are not finite")
    return np.asarray(positions)


def simulate(simulation: Simulation, work: Path) -> Path:
    """Runs or resumes one replica; returns the folder ``work/NAME_Rn`` with topology.pdb, frames.npz and done.json.

    frames.npz holds ``positions`` [frames, heavy atoms, 3] in angstrom and ``energy`` [frames] (potential, kJ/mol).
    Raises FloatingPointError if the simulation diverges, ValueError if the folder belongs to other settings.
    """
    import openmm
    from openmm import app

    folder = work / f"{simulation.name}_R{simulation.replica}"
    folder.mkdir(parents=True, exist_ok=True)
    identity = folder / "simulation.json"
    if identity.exists() and json.loads(identity.read_text())["digest"] != simulation.digest():
        raise ValueError(f"{folder} holds a simulation with other settings; choose another --out or remove it")
    if (folder / "done.json").exists():
        return folder
    _replace_file(identity, json.dumps({**asdict(simulation), "digest": simulation.digest()}, indent=1).encode())

    began = time.time()
    chunks = sorted(folder.glob("chunk_*.npz"))
    modeller, context = _start(simulation)
    heavy = [a.index for a in modeller.topology.atoms() if a.element.symbol != "H"]
    integrator = context.getIntegrator()
    steps = round(simulation.frame_ps * 1000 / simulation.timestep_fs)
    if chunks:
        with np.load(chunks[-1]) as last:
            context.loadCheckpoint(last["checkpoint"].tobytes())
    else:
        context.setVelocitiesToTemperature(simulation.temperature_k, simulation.seed)
        integrator.step(round(simulation.equilibration_ps * 1000 / simulation.timestep_fs))
        with io.StringIO() as text:
            selected = app.Modeller(modeller.topology, context.getState(getPositions=True).getPositions())
            selected.delete([a for a in modeller.topology.atoms() if a.element.symbol == "H"])
            app.PDBFile.writeFile(selected.topology, selected.positions, text, keepIds=False)
            lines = [line for line in text.getvalue().splitlines(True) if not line.startswith("REMARK")]
            _replace_file(folder / "topology.pdb", "".join(lines).encode())
    first = len(chunks) * _CHUNK_FRAMES
    for start in range(first, simulation.frames, _CHUNK_FRAMES):
        positions, energies = [], []
        for frame in range(start, min(start + _CHUNK_FRAMES, simulation.frames)):
            if frame:
                integrator.step(steps)
            positions.append(positions_of(context)[heavy] * 10)
            energies.append(context.getState(getEnergy=True).getPotentialEnergy()._value)
        chunk = io.BytesIO()
        np.savez(
            chunk,
            positions=np.array(positions, np.float32),
            energy=np.array(energies),
            checkpoint=np.frombuffer(context.createCheckpoint(), np.uint8),
        )
        _replace_file(folder / f"chunk_{start:08d}.npz", chunk.getvalue())
    _join(folder)
    # Seconds and frames of this session only: their ratio is the speed even of a simulation that was resumed.
    session = {"seconds": time.time() - began, "frames": simulation.frames - first}
    done = {**session, "openmm": openmm.__version__, "machine": platform.machine()}
    _replace_file(folder / "done.json", json.dumps(done).encode())
    for path in folder.glob("chunk_*.npz"):
        path.unlink()
    return folder


def _join(folder: Path) -> None:
    parts = [np.load(path) for path in sorted(folder.glob("chunk_*.npz"))]
    joined = io.BytesIO()
    np.savez(
        joined,
        positions=np.concatenate([p["positions"] for p in parts]),
        energy=np.concatenate([p["energy"] for p in parts]),
    )
    _replace_file(folder / "frames.npz", joined.getvalue())
