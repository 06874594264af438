"""Molecules of a suite for `dynamics.cu`, and its frames as a work folder of `ebabench simulate`.

    python experiments/gpu_md/molecules.py prepare FOLDER SUITE [SUITE ...] --frame-ps PS [--work WORK]
    python experiments/gpu_md/run.py FOLDER        (on a machine with a GPU and CuPy; needs nothing of ebabench)
    python experiments/gpu_md/molecules.py collect SUITE WORK FOLDER [FOLDER ...]

`prepare` builds each peptide as `ebabench simulate` does, from the same random torsions, and writes the parameters of
its force field. `collect` writes the frames as finished replicas: `ebabench simulate --suite SUITE --work WORK` then
exports them.
"""

from __future__ import annotations

import argparse
import json
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.progress import track

from ebabench.datasets.simulation import (
    EXTENDED,
    Frames,
    Peptide,
    Simulation,
    build_chain,
    heavy_pdb,
    inverted_centres,
    replica_folder,
    start,
)
from ebabench.datasets.suites import load_suite
from ebabench.physics.langevin import Trajectory
from ebabench.physics.preparation import build_template
from ebabench.physics.protocols import Minimisation, Protocol
from ebabench.system.files import replace_file

Array = npt.NDArray[Any]

FOLDS = 4  # as in dynamics.cu


def packed(moving: Trajectory, heavy: Array) -> tuple[list[int], Array, Array, Array]:
    """Return the counts and the numbers of a molecule, in the order of ``molecule_at`` in dynamics.cu."""
    n, terms, born = moving.atoms, moving._terms, moving._terms.born
    if n > 128:
        raise ValueError(f"{n} atoms: the kernel has room for 128")
    neck = terms.neck
    if neck is None:
        raise ValueError("the kernel knows GBn2 only")
    kinds, kind = np.unique(neck.kind, return_inverse=True)
    first_of_kind = [int(np.flatnonzero(kind == k)[0]) for k in range(len(kinds))]
    # Row: the kind of the atom that is descreened; column: of the one that descreens it.
    depth, distance = (table[kinds][:, first_of_kind].T for table in (neck.depth, neck.distance))
    excluded, pairs = _exceptions(moving)
    clusters, lengths = _clusters(moving)
    bonded = terms.bonded
    bonds, bond = _used(bonded.bonds, bonded.bond)
    angles, angle = _used(bonded.angles, bonded.angle)
    folds = len(bonded.torsion) // 2
    present = np.abs(bonded.torsion).sum(0) > 0
    torsions, found = bonded.torsions[present], bonded.torsion[:, present]
    series = np.zeros((2, FOLDS, len(torsions)))
    if folds > FOLDS and np.abs(found.reshape(2, folds, -1)[:, FOLDS:]).sum() > 0:
        raise ValueError(f"the kernel has {FOLDS} periodicities of a torsion")
    series[:, : min(folds, FOLDS)] = found.reshape(2, folds, -1)[:, :FOLDS]
    slots = np.concatenate([torsions.ravel(), angles.ravel(), bonds.ravel()])
    order = np.argsort(slots, kind="stable")
    ints = [
        kind,
        excluded,
        np.searchsorted([p[0] for p in pairs], np.arange(n + 1)),
        [p[1] for p in pairs],
        clusters,
        bonds,
        angles,
        torsions,
        np.searchsorted(slots[order], np.arange(n + 1)),
        order,
        heavy,
    ]
    atoms = [terms.pairs.charge, terms.pairs.half_sigma, terms.pairs.sqrt_epsilon]
    atoms += [born.offset_radius, born.radius, born.screened, born.alpha, born.beta, born.gamma]
    floats = [
        *(a[:n] for a in atoms),
        depth,
        distance,
        [p[2:] for p in pairs],
        bond.T,
        angle.T,
        np.moveaxis(series, 2, 0),
    ]
    doubles = [moving._dynamics.inverse_mass[:n], lengths]
    counts = [n, len(clusters), len(bonds), len(angles), len(torsions), len(kinds), len(pairs), len(slots), 0, 0, 0]
    return (
        [*counts, len(heavy)],
        _flat(ints, np.int32),
        _flat(floats, np.float32),
        _flat(doubles, np.float64),
    )


def _flat(parts: list[Any], dtype: Any) -> Array:
    return np.concatenate([np.asarray(part).astype(dtype).ravel() for part in parts])


def _used(members: Array, parameters: Array) -> tuple[Array, Array]:
    used = parameters[-1] != 0
    return members[used], parameters[:, used]


def _exceptions(moving: Trajectory) -> tuple[Array, list[tuple[float, ...]]]:
    """Bits [4, N] of the atoms that an atom has no ordinary pair with, and its pairs with parameters of their own."""
    n, pairs = moving.atoms, moving._terms.pairs
    apart = np.eye(n, dtype=bool)
    own: list[tuple[float, ...]] = []
    for i in range(n):
        for k in range(pairs.first[i], pairs.first[i + 1]):
            j = int(pairs.other[k])
            apart[i, j] = apart[j, i] = True
            if np.abs(pairs.own[k]).sum() > 0:
                own += [(i, j, *pairs.own[k]), (j, i, *pairs.own[k])]
    bits = np.zeros((4, n), np.uint32)
    for i in range(n):
        bits[i // 32] |= apart[i].astype(np.uint32) << np.uint32(i % 32)
    return bits.view(np.int32), sorted(own)


def _clusters(moving: Trajectory) -> tuple[Array, Array]:
    """Every heavy atom with its hydrogens [C, 4], and the lengths [C, 3] of their bonds; 0 where there is none."""
    constraints = moving._dynamics.constraints
    found: dict[int, tuple[list[int], list[float]]] = {}
    for members, lengths in zip(constraints.clusters.tolist(), constraints.lengths.T.tolist(), strict=True):
        if lengths[0] > 0:
            found[members[0]] = members[1:], lengths
    hydrogens = {h for members, _ in found.values() for h in members}
    heavy = [k for k in range(moving.atoms) if k not in hydrogens]
    clusters = [[k, *found.get(k, ([k] * 3, []))[0]] for k in heavy]
    return np.array(clusters), np.array([found.get(k, ([], [0.0] * 3))[1] for k in heavy])


def _resumed(simulation: Simulation, peptide: Peptide, moving: Trajectory, work: Path) -> None:
    """Place the molecule where a leg ended, with hydrogens placed anew and relaxed."""
    atoms, _ = build_chain(simulation.sequence, [EXTENDED] * len(simulation.sequence))
    bare = Protocol("", 0, tuple(simulation.forcefield), True, Minimisation(0.0, 0), False)
    last = Frames.read(replica_folder(simulation, work) / "frames.npz").positions[-1]
    complete = build_template(atoms, bare).complete(last[None].astype(float))[0]
    moved = np.linalg.norm(complete[peptide.heavy] * 10 - last, axis=1).max()
    if moved > 0.01 or not moving.start(complete) < 0 or inverted_centres(peptide.topology, moving.positions):
        raise ValueError(f"{simulation.name}: cannot go on from the last frame")


class Prepared(NamedTuple):
    """A replica at its start: what `packed` returns, its state [2, 3, N], the seed of its noise, its energy."""

    counts: list[int]
    numbers: tuple[Array, ...]
    state: Array
    seed: int
    energy: float
    constant: float
    solvent: tuple[float, float]


def _prepared(simulation: Simulation, work: Path | None) -> Prepared:
    peptide, moving = start(simulation)
    if work is not None:
        _resumed(simulation, peptide, moving, work)
    counts, *numbers = packed(moving, peptide.heavy)
    seed = int(np.random.default_rng([simulation.seed, int(work is not None)]).integers(2**63))
    terms = moving._terms
    return Prepared(
        counts,
        tuple(numbers),
        moving.state[:, :, : moving.atoms].copy(),
        seed,
        moving.energy_and_forces()[0],
        float(terms.bonded.constant),
        (float(terms.born.prefactor), float(terms.born.surface)),
    )


def prepare(suites: list[str], folder: Path, frame_ps: float, jobs: int, work: Path | None) -> None:
    """Write molecules.npz and settings.json of the replicas of suites with the same times."""
    of_suite = {suite: load_suite(suite).simulations() for suite in suites}
    simulations = [one for listed in of_suite.values() for one in listed]
    places = [work and work / suite for suite, listed in of_suite.items() for _ in listed]
    times = {(o.nanoseconds, o.timestep_fs, o.friction_per_ps, o.equilibration_ps) for o in simulations}
    if len(times) > 1:
        raise ValueError("the suites have different times")
    nanoseconds, timestep_fs, friction_per_ps, equilibration_ps = times.pop()
    for one in simulations:
        one.check()
    with ProcessPoolExecutor(jobs) as pool:
        made = list(track(pool.map(_prepared, simulations, places, chunksize=4), total=len(simulations)))
    (solvent,) = {one.solvent for one in made}
    sizes = np.array([[len(numbers) for numbers in one.numbers] for one in made])
    begins = np.cumsum(sizes, axis=0) - sizes
    counts = np.array([one.counts for one in made], np.int32)
    counts[:, 8:11] = begins
    ints, floats, doubles = (np.concatenate(column) for column in zip(*(one.numbers for one in made), strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "molecules.npz",
        counts=counts,
        ints=ints,
        floats=floats,
        doubles=doubles,
        state=np.concatenate([one.state.ravel() for one in made]),
        seeds=np.array([one.seed for one in made], np.uint64),
        temperature_k=np.array([one.temperature_k for one in simulations]),
        constant=np.array([one.constant for one in made]),
        energy=np.array([one.energy for one in made]),
    )
    settings = {
        "prefactor": solvent[0],
        "surface": solvent[1],
        "timestep_fs": timestep_fs,
        "friction_per_ps": friction_per_ps,
        "equilibration_ps": equilibration_ps,
        "frame_ps": frame_ps,
        "frames": round(nanoseconds * 1000 / frame_ps) + 1,
        "names": [f"{suite}/{one.name}_R{one.replica}" for suite, listed in of_suite.items() for one in listed],
    }
    (folder / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")


def collect(suite: str, work: Path, folders: list[Path]) -> None:
    """Write the frames of the legs of a run, in their order, as the work folder of `ebabench simulate`."""
    legs = [Leg(folder) for folder in folders]
    for one in load_suite(suite).simulations():
        name = f"{suite}/{one.name}_R{one.replica}"
        strides = {one.frame_ps / leg.settings["frame_ps"] for leg in legs}
        stride = round(strides.pop())
        if strides or stride * legs[0].settings["frame_ps"] != one.frame_ps:
            raise ValueError(f"{suite} has frames of {one.frame_ps} ps, which is no multiple of what was run")
        positions, energies = (
            np.concatenate(parts)[::stride] for parts in zip(*(leg.frames(name) for leg in legs), strict=True)
        )
        if len(positions) < one.frames:
            raise ValueError(f"{name}: {len(positions)} frames of {one.frames}")
        peptide, moving = start(one)
        if len(positions) == one.frames:
            legs[-1].place(name, moving)
        positions, energies = positions[: one.frames], energies[: one.frames]
        everything = moving.positions.copy()
        everything[peptide.heavy] = positions[0] / 10
        to = replica_folder(one, work)
        to.mkdir(parents=True, exist_ok=True)
        Frames(positions, energies, moving.state, moving.count, 0).write(to / "frames.npz")
        replace_file(to / "topology.pdb", heavy_pdb(peptide, everything))
        replace_file(to / "simulation.json", json.dumps({**asdict(one), "identity": one.identity()}, indent=1) + "\n")
        done = {
            "seconds": sum(leg.done["seconds"] for leg in legs),
            "frames": one.frames,
            "machine": legs[0].done["machine"],
        }
        replace_file(to / "done.json", json.dumps(done) + "\n")


class Leg:
    """What a run wrote."""

    def __init__(self, folder: Path):
        """Read a folder that `prepare` and `run.py` wrote."""
        self.settings = json.loads((folder / "settings.json").read_text())
        self.done = json.loads((folder / "done.json").read_text())
        self.counts = np.load(folder / "molecules.npz")["counts"]
        self.held = {key: value for path in folder.glob("frames_*.npz") for key, value in np.load(path).items()}
        state = folder / "state.npz"
        self.state = np.load(state)["state"] if state.exists() else None

    def frames(self, name: str) -> tuple[Array, Array]:
        """Positions [F, heavy, 3] in angstrom and energies [F] of a replica."""
        if name not in self.held:
            raise ValueError(f"{name} diverged: it has no frames")
        energies = self.held["energies_" + name][:, 0].astype(float)
        heavy = int(self.counts[self.settings["names"].index(name)][-1])
        planes = np.frombuffer(zlib.decompress(self.held[name].tobytes()), np.uint8).reshape(2, -1)
        steps = np.ascontiguousarray(planes.T).view(np.int16).reshape(3, len(energies), heavy)
        # From atom to atom, in thousandths of an angstrom.
        positions = np.cumsum(np.moveaxis(steps, 0, 2).astype(np.int32), axis=1) / 1000
        return positions.astype(np.float32), energies

    def place(self, name: str, moving: Trajectory) -> None:
        """Give a trajectory the positions and velocities that this leg ended with."""
        if self.state is None:
            raise ValueError("the run has no final state")
        k = self.settings["names"].index(name)
        first = 6 * int(self.counts[:k, 0].sum())
        moving.state[:, :, : moving.atoms] = self.state[first : first + 6 * moving.atoms].reshape(2, 3, -1)


def main() -> None:
    """Prepare or collect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    first, last = what.add_parser("prepare"), what.add_parser("collect")
    first.add_argument("folder", type=Path)
    first.add_argument("suites", nargs="+")
    first.add_argument("--frame-ps", type=float, required=True, help="time from frame to frame of the run")
    first.add_argument("--jobs", type=int, default=1)
    first.add_argument("--work", type=Path, help="go on from the last frames of WORK/SUITE")
    last.add_argument("suite")
    last.add_argument("work", type=Path)
    last.add_argument("folders", type=Path, nargs="+")
    arguments = vars(parser.parse_args())
    {"prepare": prepare, "collect": collect}[arguments.pop("what")](**arguments)


if __name__ == "__main__":
    main()
