"""From simulation folders to the ATLAS layout, with provenance beside the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ebabench import __version__
from ebabench.datasets.simulation import FORCEFIELD, Simulation
from ebabench.errors import RunError


def export(simulations: Sequence[Simulation], work: Path, out: Path) -> Path:
    """Writes the finished replicas of one target; returns ``out/NAME``.

    ``NAME.pdb`` is frame 0 of replica 1, heavy atoms only. ``NAME_prod_Rn_fit.xtc`` holds the frames of replica n,
    each superposed onto that structure. ``provenance.json`` holds every setting, version and speed. Raises RunError
    if a replica is not finished or the replicas differ in their atoms.
    """
    import mdtraj

    name = simulations[0].name
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    first = _folder(simulations[0], work) / "topology.pdb"
    native = mdtraj.load_pdb(str(first), standard_names=False)
    provenance = []
    for simulation in simulations:
        source = _folder(simulation, work)
        done = json.loads((source / "done.json").read_text())
        with np.load(source / "frames.npz") as frames:
            positions = frames["positions"]
        if positions.shape != (simulation.frames, native.n_atoms, 3):
            raise RunError(f"{source}: frames have shape {positions.shape}, expected {simulation.frames} of {first}")
        time = np.arange(simulation.frames) * simulation.frame_ps
        trajectory = mdtraj.Trajectory(positions / 10, native.topology, time=time)
        trajectory.superpose(native)
        _write(folder / f"{name}_prod_R{simulation.replica}_fit.xtc", trajectory)
        provenance.append(_provenance(simulation, done))
    (folder / f"{name}.pdb").write_bytes(first.read_bytes())
    (folder / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n")
    return folder


def _folder(simulation: Simulation, work: Path) -> Path:
    folder = work / f"{simulation.name}_R{simulation.replica}"
    try:
        digest = json.loads((folder / "simulation.json").read_text())["digest"]
    except FileNotFoundError:
        digest = None
    if digest != simulation.digest() or not (folder / "done.json").exists():
        raise RunError(f"{folder} does not hold the finished simulation of {simulation.name} {simulation.replica}")
    return folder


def _write(path: Path, trajectory: Any) -> None:
    temporary = path.with_name(f".part.{path.name}")
    trajectory.save_xtc(str(temporary))
    temporary.replace(path)


def _provenance(simulation: Simulation, done: dict[str, Any]) -> dict[str, Any]:
    nanoseconds = done.get("frames", simulation.frames) * simulation.frame_ps / 1000
    return {
        "made_by": f"ebabench {__version__}",
        "forcefield": FORCEFIELD,
        **asdict(simulation),
        "digest": simulation.digest(),
        "openmm": done["openmm"],
        "machine": done["machine"],
        "seconds": round(done["seconds"], 1),
        "ns_per_day": round(nanoseconds / done["seconds"] * 86400),
    }
