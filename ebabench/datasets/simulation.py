"""Reference molecular dynamics of small peptides.

Implicit solvent, hydrogen mass repartitioning, Langevin dynamics (`ebabench.physics.langevin`). The frames are the same
to the bit on every processor. A trajectory is written in chunks, each with the full state of the dynamics. A killed
simulation goes on where it stopped, and a finished one can be made longer: both end with the frames of an undisturbed
one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from ebabench.errors import InputError, RunError
from ebabench.structures import Atoms
from ebabench.system.files import remove_locked, replace_file
from ebabench.system.processor import processor

if TYPE_CHECKING:
    from openmm import app

    from ebabench.physics.langevin import Trajectory

Array = npt.NDArray[Any]

EXTENDED = (-120.0, 130.0)
"""Phi and psi of every residue of an extended chain, in degrees."""
FORCEFIELD = ("amber99sbildn.xml", "amber99_obc.xml")
_CHUNK_FRAMES = 100
_ATTEMPTS = 20


@dataclass(frozen=True)
class Simulation:
    """One replica. ``start``: "random", or phi, psi in degrees for each residue (jittered by ``jitter`` degrees).

    ``forcefield``: names of OpenMM's force field files, solvent included.
    """

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
    forcefield: tuple[str, ...] = FORCEFIELD

    @property
    def frames(self) -> int:
        """Number of frames, the starting frame included (as in ATLAS, where frame 0 is the PDB of replica 1)."""
        return round(self.nanoseconds * 1000 / self.frame_ps) + 1

    @property
    def steps(self) -> int:
        """Steps from one frame to the next."""
        return round(self.frame_ps * 1000 / self.timestep_fs)

    def digest(self) -> str:
        """Identity of the trajectory: every setting enters it."""
        return _digest(asdict(self))

    def identity(self) -> str:
        """Identity of the trajectory whatever its length: a longer one has the same frames first."""
        return _digest({key: value for key, value in asdict(self).items() if key != "nanoseconds"})

    def check(self) -> None:
        """Raises InputError (``simulate.time``) where a time is not a multiple of the time step."""
        for key, value in (("frame_ps", self.frame_ps), ("equilibration_ps", self.equilibration_ps)):
            steps = value * 1000 / self.timestep_fs
            if abs(steps - round(steps)) > 1e-6 or (key == "frame_ps" and round(steps) < 1):
                raise InputError(
                    f"{self.name}: {key} is {value:g}, which is not a multiple of timestep_fs = {self.timestep_fs:g}",
                    code="simulate.time",
                    field=key,
                )


def _digest(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


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


@dataclass(frozen=True)
class Peptide:
    """A peptide with all its atoms: topology, positions [N, 3] in nm, and the indices of its heavy atoms."""

    topology: app.Topology
    positions: Array
    heavy: npt.NDArray[np.int64]


def build_chain(sequence: str, torsions: list[tuple[float, float]]) -> tuple[Atoms, Array]:
    """Return the heavy atoms of a peptide from its sequence, and their positions [N, 3] in angstrom.

    Names and order are those of the references that ``simulate`` makes. The last residue has its terminal oxygen.

    Args:
        sequence: Letters of the twenty amino acids.
        torsions: Phi and psi of every residue, in degrees.

    Example:
        >>> atoms, positions = build_chain("GA", [(-120.0, 130.0)] * 2)
        >>> " ".join(atoms.name), positions.shape
        ('N CA C O N CA C O CB OXT', (10, 3))
    """
    import PeptideBuilder
    from PeptideBuilder import Geometry

    structure: Any = None
    # A torsion of exactly half a turn is handled, but not without a warning.
    with np.errstate(invalid="ignore"):
        for index, letter in enumerate(sequence):
            geometry = Geometry.geometry(letter)
            geometry.phi = torsions[index][0]
            if structure is None:
                structure = PeptideBuilder.initialize_res(geometry)
            else:
                geometry.psi_im1 = torsions[index - 1][1]
                PeptideBuilder.add_residue(structure, geometry)
        PeptideBuilder.add_terminal_OXT(structure)
    rows = [(atom, k) for k, residue in enumerate(structure.get_residues()) for atom in residue]
    atoms = Atoms(
        np.array([atom.get_name() for atom, _ in rows]),
        np.array([atom.get_parent().get_resname() for atom, _ in rows]),
        np.array([k for _, k in rows], np.int64),
    )
    # Thousandths of an angstrom, as in a file: the last bit of a library's sine must not decide a trajectory.
    return atoms, np.round(np.array([atom.get_coord() for atom, _ in rows], float), 3)


def build_peptide(sequence: str, torsions: list[tuple[float, float]], forcefield: tuple[str, ...]) -> Peptide:
    """All-atom peptide with charged termini at pH 7 from backbone torsions in degrees.

    Histidines are neutral and protonated at ND1 in every conformation: the replicas are of one molecule.
    """
    from ebabench.physics.preparation import build_template
    from ebabench.physics.protocols import Minimisation, Protocol

    atoms, heavy = build_chain(sequence, torsions)
    template = build_template(atoms, Protocol("", 0, tuple(forcefield), True, Minimisation(0.0, 0), False))
    return Peptide(template.topology, template.complete(heavy[None])[0], template.given)


@lru_cache(maxsize=4)
def _forcefield(files: tuple[str, ...]) -> app.ForceField:
    from openmm import app

    return app.ForceField(*files)


def dynamics(simulation: Simulation, topology: app.Topology) -> Trajectory:
    """The dynamics of a molecule in the settings of ``simulation``, to be given positions. Raises ValueError."""
    from openmm import app, unit

    from ebabench.physics.langevin import Trajectory

    system = _forcefield(tuple(simulation.forcefield)).createSystem(
        topology,
        nonbondedMethod=app.NoCutoff,
        constraints=app.HBonds,
        hydrogenMass=simulation.hydrogen_mass_amu * unit.amu,
    )
    return Trajectory(
        system, simulation.temperature_k, simulation.friction_per_ps, simulation.timestep_fs, simulation.seed
    )


def start(simulation: Simulation) -> tuple[Peptide, Trajectory]:
    """The relaxed peptide; torsions at which the chain runs through itself or turns a centre over are drawn again."""
    for attempt in range(_ATTEMPTS):
        torsions = start_torsions(simulation, attempt)
        peptide = build_peptide(simulation.sequence, torsions, simulation.forcefield)
        moving = dynamics(simulation, peptide.topology)
        if moving.start(peptide.positions) < 0 and not inverted_centres(peptide.topology, moving.positions):
            return peptide, moving
    raise FloatingPointError(f"{simulation.name}: no start without clashes in {_ATTEMPTS} attempts")


def inverted_centres(topology: app.Topology, positions: Array) -> list[str]:
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


def replica_folder(simulation: Simulation, work: Path) -> Path:
    """Where a replica's frames are: ``work/NAME_Rn``."""
    return work / f"{simulation.name}_R{simulation.replica}"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Raises RunError if another process is at this replica, and names it. A killed process lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        other = path.read_text(encoding="utf-8", errors="replace").strip() or "another process"
        raise RunError(
            f"{folder} is being simulated by {other}: wait for it, or choose another --work",
            code="simulate.busy",
            folder=str(folder),
        ) from error
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        remove_locked(path)
        lock.release()


@dataclass(frozen=True)
class Frames:
    """Frames of one replica: ``positions`` [F, heavy atoms, 3] in angstrom, ``energy`` [F] (potential, kJ/mol).

    state, count: the dynamics after the last frame. fitted: number of first frames that an export has superposed.
    """

    positions: Array
    energy: Array
    state: Array
    count: Array
    fitted: int

    def write(self, path: Path) -> None:
        """Writes an npz, whole or not at all."""
        file = io.BytesIO()
        arrays: dict[str, Any] = vars(self)
        np.savez(file, **arrays)
        replace_file(path, file.getvalue())

    @classmethod
    def read(cls, path: Path) -> Frames:
        """Raises InputError for a file that is damaged."""
        try:
            with np.load(path, allow_pickle=False) as data:
                return cls(data["positions"], data["energy"], data["state"], data["count"], int(data["fitted"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is damaged ({error}): remove {path.parent}", code="simulate.damaged") from error


def _join(parts: list[Frames]) -> Frames:
    last = parts[-1]
    positions, energy = (np.concatenate([getattr(p, key) for p in parts]) for key in ("positions", "energy"))
    return Frames(positions, energy, last.state, last.count, parts[0].fitted)


def _made(folder: Path) -> list[Frames]:
    """The frames so far, in parts. A damaged chunk, and what follows on it, is removed: it is made again."""
    whole = folder / "frames.npz"
    parts = [Frames.read(whole)] if whole.exists() else []
    count = sum(len(part.positions) for part in parts)
    for path in sorted(folder.glob("chunk_*.npz")):
        if int(path.stem.removeprefix("chunk_")) == count:
            try:
                parts.append(Frames.read(path))
            except InputError:
                path.unlink()
            else:
                count += len(parts[-1].positions)
                continue
        path.unlink(missing_ok=True)
    return parts


def simulate(simulation: Simulation, work: Path) -> Path:
    """Runs, resumes or extends one replica; returns its folder with topology.pdb, frames.npz and done.json.

    Raises FloatingPointError if the simulation diverges, InputError if its settings cannot be or the folder belongs to
    others, RunError if another process is at it.
    """
    simulation.check()
    folder = replica_folder(simulation, work)
    with claimed(folder):
        identity = folder / "simulation.json"
        if identity.exists() and json.loads(identity.read_text())["identity"] != simulation.identity():
            raise InputError(
                f"{folder} holds a simulation with other settings: choose another --work, or remove it",
                code="simulate.other_settings",
                folder=str(folder),
            )
        _go_on(simulation, folder, identity)
    return folder


def _go_on(simulation: Simulation, folder: Path, identity: Path) -> None:
    began = time.time()
    parts = _made(folder)
    before = count = sum(len(part.positions) for part in parts)
    if count < simulation.frames:
        peptide, moving = _resumed(simulation, parts[-1]) if parts else start(simulation)
        if not parts:
            if not identity.exists():
                settings = {**asdict(simulation), "identity": simulation.identity()}
                replace_file(identity, json.dumps(settings, indent=1) + "\n")
            moving.advance(round(simulation.equilibration_ps * 1000 / simulation.timestep_fs))
            replace_file(folder / "topology.pdb", heavy_pdb(peptide, moving.positions))
        while count < simulation.frames:
            parts.append(_chunk(simulation, moving, peptide.heavy, count))
            parts[-1].write(folder / f"chunk_{count:08d}.npz")
            count += len(parts[-1].positions)
    if len(parts) > 1 or not (folder / "frames.npz").exists():
        _join(parts).write(folder / "frames.npz")
    for path in folder.glob("chunk_*.npz"):
        path.unlink()
    if count > before or not (folder / "done.json").exists():
        # Seconds and frames of this session only: their ratio is the speed even of a simulation that was resumed.
        done = {"seconds": time.time() - began, "frames": count - before, **_machine()}
        replace_file(folder / "done.json", json.dumps(done) + "\n")


def _resumed(simulation: Simulation, last: Frames) -> tuple[Peptide, Trajectory]:
    peptide = build_peptide(simulation.sequence, [EXTENDED] * len(simulation.sequence), simulation.forcefield)
    moving = dynamics(simulation, peptide.topology)
    if last.state.shape != moving.state.shape:
        raise InputError(f"{simulation.name}: the state to go on from is of another molecule", code="simulate.damaged")
    moving.state[:], moving.count[:] = last.state, last.count
    return peptide, moving


def _chunk(simulation: Simulation, moving: Trajectory, heavy: npt.NDArray[np.int64], first: int) -> Frames:
    """The frames from number ``first`` to the next multiple of a chunk, or to the end."""
    positions, energies = [], []
    for frame in range(first, min((first // _CHUNK_FRAMES + 1) * _CHUNK_FRAMES, simulation.frames)):
        energies.append(moving.advance(simulation.steps if frame else 0))
        positions.append(moving.positions[heavy] * 10)
    return Frames(
        np.array(positions, np.float32), np.array(energies), moving.state.copy(), moving.count.copy(), fitted=0
    )


def heavy_pdb(peptide: Peptide, positions: Array) -> str:
    """The heavy atoms at positions [N, 3] (nm) as a PDB file."""
    from openmm import app, unit

    heavy = app.Modeller(peptide.topology, positions * unit.nanometer)
    heavy.delete([atom for atom in peptide.topology.atoms() if atom.element.symbol == "H"])
    text = io.StringIO()
    app.PDBFile.writeFile(heavy.topology, heavy.positions, text, keepIds=False)
    return "".join(line for line in text.getvalue().splitlines(True) if not line.startswith("REMARK"))


def _machine() -> dict[str, str]:
    """What makes the numbers: OpenMM's version, the kind of machine and its processor."""
    import openmm

    return {"openmm": openmm.__version__, "machine": platform.machine(), **processor()}
