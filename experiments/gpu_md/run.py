"""Run the molecules that `molecules.py prepare` wrote, all at once on one GPU, by `dynamics.cu`.

    python run.py FOLDER [FOLDER ...] --out OUT [--seconds S] [--host]

Needs NumPy and CuPy, and nothing of ebabench. Writes OUT/NAME/frames_K.npz, state.npz and done.json, NAME being that of
each FOLDER. With --seconds a run ends after that time, with the frames that it has. --host compiles the kernel as C++,
and needs no GPU but g++: for tests.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).with_name("dynamics.cu")
GAS = 0.00831446261815324  # kJ/mol/K
ATOMS, CLUSTERS, KINDS, SLOTS, HEAVY = 0, 1, 5, 7, 11  # columns of counts
OPTIONS = ("--prec-div=false", "--prec-sqrt=false", "--ftz=true", "-std=c++17")
# Threads of a block and blocks of a multiprocessor that are tried, for few and for many molecules.
FEW = ((384, 2), (512, 2), (256, 2))
MANY = ((192, 4), (256, 3), (128, 4))
ENERGY_ERROR = 0.2  # kJ/mol
REACH = 3.2  # nm from the centre: what goes farther has diverged, and is more than 16 bits hold


class Molecules:
    """A folder of `molecules.py prepare`: its settings, its arrays and what a launch takes."""

    def __init__(self, folder: Path) -> None:
        """Read a folder."""
        self.settings = json.loads((folder / "settings.json").read_text())
        self.arrays = dict(np.load(folder / "molecules.npz"))
        self.names: list[str] = self.settings["names"]
        self.counts = self.arrays["counts"].astype(int)
        self.heavy = self.counts[:, HEAVY].astype(np.int64)
        self.first = np.concatenate([[0], np.cumsum(6 * self.counts[:, ATOMS])]).astype(np.int64)
        self.timestep = self.settings["timestep_fs"] / 1000
        self.damping = round(float(np.exp(-self.timestep * self.settings["friction_per_ps"])), 14)
        self.noise = np.sqrt((1 - self.damping**2) * GAS * self.arrays["temperature_k"])

    def steps(self, time_ps: float) -> int:
        """Return how many steps a time takes."""
        return round(time_ps / self.timestep)

    def shared_bytes(self, threads: int) -> int:
        """Return the shared memory that a block needs: the members of ``Shared`` in dynamics.cu."""
        n, clusters, kinds, slots = (self.counts[:, column] for column in (ATOMS, CLUSTERS, KINDS, SLOTS))
        groups = np.maximum(threads // n, 1)
        region = np.maximum(np.maximum(3 * slots, n * (n + 1)), 2 * threads)
        floats = 21 * n + 2 * kinds * kinds + 4 * groups * n + region
        return int((48 * n + 40 * clusters + 4 * floats).max())

    def scalars(self, frames: int, interval: int, step: int) -> tuple[Any, ...]:
        """Return the scalar arguments of a launch up to the noise, and those behind it."""
        numbers = (np.int32(frames), np.int32(interval), np.int64(step))
        ahead = (*numbers, np.float64(self.timestep), np.float64(self.damping))
        return ahead, (np.float32(self.settings["prefactor"]), np.float32(self.settings["surface"]))


class Device:
    """The kernel on a GPU. `order`: blocks go to the multiprocessors in turn, so that large molecules get one alone."""

    def __init__(self, molecules: Molecules, shape: tuple[int, int]) -> None:
        """Compile the kernel for a shape of blocks, and place the molecules where they start."""
        import cupy

        self.cupy, self.m, self.threads = cupy, molecules, shape[0]
        defines = (f"-DTHREADS={shape[0]}", f"-DBLOCKS_PER_SM={shape[1]}")
        self.kernel = cupy.RawModule(code=SOURCE.read_text(), options=(*OPTIONS, *defines)).get_function("advance")
        self.shared = molecules.shared_bytes(self.threads)
        self.kernel.max_dynamic_shared_size_bytes = self.shared
        self.constants = [cupy.asarray(molecules.arrays[key]) for key in ("counts", "ints", "floats", "doubles")]
        self.state = cupy.asarray(molecules.arrays["state"])
        self.order = self._order()
        self.which, self.seeds, self.first, self.noise = (
            cupy.asarray(array)
            for array in (
                self.order.astype(np.int32),
                molecules.arrays["seeds"][self.order],
                molecules.first[self.order],
                molecules.noise[self.order],
            )
        )

    def _order(self) -> np.ndarray:
        order = np.argsort(self.m.counts[:, ATOMS], kind="stable")
        processors = self.cupy.cuda.runtime.getDeviceProperties(0)["multiProcessorCount"]
        if processors < len(order) <= 2 * processors:
            pairs = len(order) - processors
            order = np.concatenate([order[:pairs], order[2 * pairs :], order[pairs : 2 * pairs][::-1]])
        return order

    def advance(self, frames: int, interval: int, step: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Go on; return the heavy atoms [frames, heavy, 3] of every molecule (nm) and energies [M, frames, 2]."""
        cupy, heavy = self.cupy, self.m.heavy[self.order]
        begin = np.concatenate([[0], np.cumsum(heavy * 3 * frames)])
        positions, energies = (
            cupy.empty(int(begin[-1]), cupy.float32),
            cupy.empty((len(heavy), frames, 2), cupy.float32),
        )
        ahead, behind = self.m.scalars(frames, interval, step)
        arrays = (*self.constants, self.which, self.seeds, self.first, self.state, cupy.asarray(begin[:-1]))
        arguments = (*arrays, positions, energies, *ahead, self.noise, *behind)
        self.kernel((len(heavy),), (self.threads,), arguments, shared_mem=self.shared)
        back = np.argsort(self.order)
        parts = np.split(positions.get(), begin[1:-1])
        return [parts[k].reshape(frames, -1, 3) for k in back], energies.get()[back]

    def end(self) -> np.ndarray:
        """Return the state of all molecules."""
        return self.state.get()  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """The name of the GPU."""
        return self.cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()  # type: ignore[no-any-return]


class Host:
    """The kernel as C++."""

    name = "C++"

    def __init__(self, molecules: Molecules) -> None:
        """Compile the kernel, and place the molecules where they start."""
        self.m, self.state = molecules, molecules.arrays["state"].copy()
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "dynamics.so"
            options = ("-O2", "-x", "c++", "-DHOST", "-shared", "-fPIC")
            subprocess.run(["g++", *options, str(SOURCE), "-o", str(library)], check=True, capture_output=True)
            self.call = ctypes.CDLL(str(library)).advance_all

    def advance(self, frames: int, interval: int, step: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Go on; return the heavy atoms [frames, heavy, 3] of every molecule (nm) and energies [M, frames, 2]."""
        m = self.m
        begin = np.concatenate([[0], np.cumsum(m.heavy * 3 * frames)])
        positions, energies = np.empty(begin[-1], np.float32), np.empty((len(m.names), frames, 2), np.float32)
        constants = [m.arrays[key] for key in ("counts", "ints", "floats", "doubles")]
        which = np.arange(len(m.names), dtype=np.int32)
        ahead, behind = m.scalars(frames, interval, step)
        every = [*constants, which, m.arrays["seeds"], m.first, self.state, begin, positions, energies]
        every += [*ahead, m.noise, *behind]
        self.call(len(m.names), *map(_in_c, every))
        parts = np.split(positions, begin[1:-1])
        return [part.reshape(frames, -1, 3) for part in parts], energies

    def end(self) -> np.ndarray:
        """Return the state of all molecules."""
        return self.state


def _in_c(value: Any) -> Any:
    kinds = {
        np.int32: ctypes.c_int,
        np.int64: ctypes.c_longlong,
        np.float32: ctypes.c_float,
        np.float64: ctypes.c_double,
    }
    return ctypes.c_void_p(value.ctypes.data) if isinstance(value, np.ndarray) else kinds[type(value)](value)


def fastest(molecules: Molecules) -> tuple[int, int]:
    """Return the shape of blocks in which the molecules advance fastest."""
    speeds = {}
    for shape in MANY if len(molecules.names) > 300 else FEW:
        device = Device(molecules, shape)
        device.advance(1, 50, 0)
        began = time.perf_counter()
        device.advance(1, 1000, 50)
        each = (time.perf_counter() - began) / 1000
        speeds[shape] = len(molecules.names) * molecules.timestep / 1000 / each
        print(f"  {shape}: {each * 1e6:.2f} us a step, {speeds[shape]:.2f} ns/s in all", flush=True)
    return max(speeds, key=speeds.__getitem__)


def check(molecules: Molecules, engine: Device | Host) -> None:
    """Raise RuntimeError where the energies of the starts are not those that ebabench computed."""
    _, energies = engine.advance(1, 0, 0)
    error = np.abs(energies[:, 0, 0] + molecules.arrays["constant"] - molecules.arrays["energy"])
    print(f"  energies of the starts: at most {error.max():.4f} kJ/mol from ebabench's", flush=True)
    if not error.max() < ENERGY_ERROR:
        raise RuntimeError(f"energies differ: {molecules.names[int(error.argmax())]}")


def run(folder: Path, out: Path, seconds: float, host: bool) -> bool:
    """Equilibrate and run all molecules of a folder; return whether none diverged."""
    molecules = Molecules(folder)
    began = time.perf_counter()
    print(f"{folder.name}: {len(molecules.names)} replicas", flush=True)
    check(molecules, Host(molecules) if host else Device(molecules, FEW[0]))
    engine = Host(molecules) if host else Device(molecules, fastest(molecules))
    wanted, interval = molecules.settings["frames"], molecules.steps(molecules.settings["frame_ps"])
    step = molecules.steps(molecules.settings["equilibration_ps"])
    parts, done, chunk = [engine.advance(1, step, 0)], 1, 1
    while done < wanted and time.perf_counter() - began < seconds:
        count, since = min(chunk, wanted - done), time.perf_counter()
        parts.append(engine.advance(count, interval, step))
        step, done = step + count * interval, done + count
        now = time.perf_counter()
        chunk = max(1, min(50, int(5 * count / (now - since))))
        print(f"  {done} of {wanted} frames, {now - began:.0f} s", flush=True)
    positions = [np.concatenate(of_one) for of_one in zip(*(part[0] for part in parts), strict=True)]
    energies = np.concatenate([part[1] for part in parts], axis=1).astype(np.float64)
    told = {"seconds": time.perf_counter() - began, "frames": done, "machine": engine.name}
    write(molecules, out / folder.name, positions, energies, told)
    np.savez_compressed(out / folder.name / "state.npz", state=engine.end())
    return not told["diverged"]


def write(
    molecules: Molecules, out: Path, positions: list[np.ndarray], energies: np.ndarray, told: dict[str, Any]
) -> None:
    """Write frames, in files of at most 15 MB, and what is to be told of the run. What diverged is left out."""
    out.mkdir(parents=True, exist_ok=True)
    kept = [k for k, one in enumerate(positions) if np.abs(one).max() < REACH]
    with ThreadPoolExecutor() as pool:
        everything = pool.map(packed, [positions[k] for k in kept])
    energies[:, :, 0] += molecules.arrays["constant"][:, None]
    file, held, size = 0, {}, 0
    for k, data in zip(kept, everything, strict=True):
        name, energy = molecules.names[k], energies[k]
        if size + len(data) > 14e6:
            np.savez(out / f"frames_{file}.npz", **held)
            file, held, size = file + 1, {}, 0
        held |= {name: np.frombuffer(data, np.uint8), "energies_" + name: energy.astype(np.float32)}
        size += len(data) + energy.size * 4
    np.savez(out / f"frames_{file}.npz", **held)
    # Each atom that is no cluster of its own is a hydrogen, and a constraint.
    degrees = 2 * molecules.counts[:, ATOMS] + molecules.counts[:, CLUSTERS]
    temperatures = (2 * energies[:, 1:, 1].mean(1) / GAS / degrees)[kept]
    told["diverged"] = [name for k, name in enumerate(molecules.names) if k not in kept]
    told |= {"temperature_k": float(temperatures.mean()), "temperature_sd": float(temperatures.std())}
    (out / "done.json").write_text(json.dumps(told) + "\n")
    print(json.dumps(told), flush=True)


def packed(positions: np.ndarray) -> bytes:
    """Return positions [F, N, 3] (nm) in thousandths of an angstrom, from atom to atom, compressed."""
    grid = np.round(positions * 10_000).astype(np.int32)
    steps = np.diff(grid, axis=1, prepend=0).astype(np.int16)
    planes = np.frombuffer(np.ascontiguousarray(np.moveaxis(steps, 2, 0)).tobytes(), np.uint8).reshape(-1, 2).T
    return zlib.compress(np.ascontiguousarray(planes).tobytes(), 6)


def main() -> None:
    """Run the folders, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each folder")
    parser.add_argument("--host", action="store_true", help="as C++, without a GPU")
    arguments = parser.parse_args()
    fine = [run(folder, arguments.out, arguments.seconds, arguments.host) for folder in arguments.folders]
    sys.exit(0 if all(fine) else "some molecules diverged: done.json names them")


if __name__ == "__main__":
    main()
