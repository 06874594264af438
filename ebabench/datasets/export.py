"""From simulation folders to the ATLAS layout, with provenance and what is needed to go on beside the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ebabench import __version__
from ebabench.datasets.simulation import Frames, Simulation, replica_folder
from ebabench.errors import RunError
from ebabench.io.topologies import read_topology
from ebabench.io.xtc import XtcFrames
from ebabench.system.files import replace_file, replacement


def export(simulations: Sequence[Simulation], work: Path, out: Path) -> Path:
    """Writes the finished replicas of one target; returns ``out/NAME``.

    ``NAME.pdb`` is frame 0 of replica 1, heavy atoms only. ``NAME_prod_Rn_fit.xtc`` holds the frames of replica n,
    each superposed onto that structure. ``provenance.json`` holds every setting, version and speed; ``restart.npz`` the
    state of every replica after its last frame. Raises RunError if a replica is not finished or the replicas differ in
    their atoms.
    """
    import mdtraj

    name = simulations[0].name
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    first = replica_folder(simulations[0], work) / "topology.pdb"
    provenance: list[dict[str, Any]] = []
    restart: dict[str, Any] = {}
    for simulation in simulations:
        frames, done = _finished(simulation, work)
        native = mdtraj.load_pdb(str(first), standard_names=False)
        if frames.positions.shape != (simulation.frames, native.n_atoms, 3):
            raise RunError(
                f"{replica_folder(simulation, work)}: frames have shape {frames.positions.shape}, "
                f"expected {simulation.frames} of {first}"
            )
        time = np.arange(simulation.frames) * simulation.frame_ps
        trajectory = mdtraj.Trajectory(frames.positions / 10, native.topology, time=time)
        if frames.fitted < len(trajectory):
            fitted = trajectory[frames.fitted :].superpose(native)
            trajectory.xyz = np.concatenate([trajectory.xyz[: frames.fitted], fitted.xyz])
        _write(folder / f"{name}_prod_R{simulation.replica}_fit.xtc", trajectory)
        provenance.append(_provenance(simulation, done))
        restart |= {f"state_{simulation.replica}": frames.state, f"count_{simulation.replica}": frames.count}
    replace_file(folder / f"{name}.pdb", first.read_bytes())
    replace_file(folder / "provenance.json", json.dumps(provenance, indent=1) + "\n")
    replace_file(folder / "restart.npz", lambda file: np.savez(file, **restart))
    return folder


def take_up(simulation: Simulation, exported: Path, work: Path) -> None:
    """Fills the work folder of a replica that has none from an export of the same simulation, be it shorter.

    What cannot be used (another simulation's, or without a restart file) is left alone.
    """
    folder, source = replica_folder(simulation, work), exported / simulation.name
    if (folder / "simulation.json").exists() or not (source / "restart.npz").exists():
        return
    listed = [
        one for one in json.loads((source / "provenance.json").read_text()) if one["replica"] == simulation.replica
    ]
    if not listed or listed[0].get("identity") != simulation.identity():
        return
    topology = source / f"{simulation.name}.pdb"
    atoms = len(read_topology(topology).atoms)
    with np.load(source / "restart.npz", allow_pickle=False) as restart:
        state, count = (restart[f"{key}_{simulation.replica}"] for key in ("state", "count"))
    path = source / f"{simulation.name}_prod_R{simulation.replica}_fit.xtc"
    positions = XtcFrames(path, atoms, np.arange(atoms))[:]
    folder.mkdir(parents=True, exist_ok=True)
    Frames(positions, np.full(len(positions), np.nan), state, count, len(positions)).write(folder / "frames.npz")
    replace_file(folder / "topology.pdb", topology.read_bytes())
    replace_file(folder / "done.json", json.dumps({key: listed[0][key] for key in _MADE if key in listed[0]}) + "\n")
    settings = {**asdict(simulation), "identity": simulation.identity()}
    replace_file(folder / "simulation.json", json.dumps(settings, indent=1) + "\n")


_MADE = ("seconds", "frames", "openmm", "machine", "processor", "microarchitecture", "instruction_sets")


def _finished(simulation: Simulation, work: Path) -> tuple[Frames, dict[str, Any]]:
    folder = replica_folder(simulation, work)
    try:
        identity = json.loads((folder / "simulation.json").read_text())["identity"]
        done = json.loads((folder / "done.json").read_text())
    except FileNotFoundError:
        identity = None
    if identity == simulation.identity():
        frames = Frames.read(folder / "frames.npz")
        if len(frames.positions) == simulation.frames:
            return frames, done
    raise RunError(f"{folder} does not hold the finished simulation of {simulation.name} {simulation.replica}")


def _write(path: Path, trajectory: Any) -> None:
    with replacement(path) as temporary:
        trajectory.save_xtc(str(temporary))


def _provenance(simulation: Simulation, done: dict[str, Any]) -> dict[str, Any]:
    nanoseconds = done["frames"] * simulation.frame_ps / 1000
    return {
        "made_by": f"ebabench {__version__}",
        **asdict(simulation),
        "digest": simulation.digest(),
        "identity": simulation.identity(),
        **done,
        "seconds": round(done["seconds"], 1),
        "ns_per_day": round(nanoseconds / max(done["seconds"], 1e-3) * 86400),
    }
