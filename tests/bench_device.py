"""The compact model on a device against a CPU: seconds per conformation, and how far conformations differ.

``python tests/bench_device.py cuda`` prints one line per number of conformations, then the largest difference from the
CPU's conformations and among batches of different sizes.
"""

import argparse
import time

import numpy as np
import torch

import ebabench
from ebabench.structures import Target

COUNTS = (250, 1000)


def positions(device: str, target: Target, samples: int, batch_size: int | None = None) -> tuple[np.ndarray, float]:
    """Conformations [S, N, 3] in angstrom and the seconds they took, kernels and weights loaded before."""
    model = ebabench.load_model("eba", device=device, batch_size=batch_size)
    model.sample(target, samples=samples, seed=1)
    began = time.perf_counter()
    made = model.sample(target, samples=samples, seed=1)
    return made.positions, time.perf_counter() - began


def main() -> None:
    """Print the table of a device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device", help="cuda, cuda:1, mps or cpu")
    device = parser.parse_args().device
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    target = ebabench.load_suite("peptides-v1").reference("KLED").target
    for count in COUNTS:
        seconds = {one: positions(one, target, count)[1] for one in (device, "cpu")}
        print(f"{count} conformations of KLED: {name} {seconds[device]:.3f} s, cpu {seconds['cpu']:.3f} s", flush=True)
    cpu = positions("cpu", target, 64)[0]
    batches = [positions(device, target, 64, size)[0] for size in (3, 64)]
    print(f"largest difference from the cpu: {max(np.abs(one - cpu).max() for one in batches):.1e} angstrom")
    print(f"largest difference of batches of 3 and 64: {np.abs(batches[0] - batches[1]).max():.1e} angstrom")


if __name__ == "__main__":
    main()
