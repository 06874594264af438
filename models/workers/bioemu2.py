"""Samples with BioEmu 2, in its own environment: ``python -P bioemu2.py request.json``; see docs/workers.md.

BioEmu 2 denoises all atoms, conditioned on an alignment of the sequence. The package keeps frames that its own check of
bonds and clashes rejects, and reports on them; here they are drawn again. Nothing here asks the network: without an
alignment in the cache the target fails at once. The package supports Linux with an NVIDIA GPU only.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

PACKAGES = ("bioemu2", "torch", "mdtraj")


class WorkerError(Exception):
    """What the user can mend. ``reason`` is a word for programs."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason


def probe(_: dict[str, Any]) -> dict[str, Any]:
    """Imports what ``sample`` needs."""
    import torch
    from bioemu2 import EmuSession, System, check_physicality, load_a3m_msa, load_model  # noqa: F401

    return {"devices": [f"cuda:{number}" for number in range(torch.cuda.device_count())]}


def sample(request: dict[str, Any]) -> dict[str, Any]:
    """Draws conformations until as many as asked for are physical, and writes these to ``samples.npz``."""
    import mdtraj
    import torch
    from bioemu2 import EmuSession, System, check_physicality, load_a3m_msa, load_model

    settings, wanted = request["settings"], request["samples"]
    if request["random_weights"]:
        raise WorkerError("unsupported", "BioEmu 2 has no network with random weights")
    if not request["device"].startswith("cuda") or not torch.cuda.is_available():
        raise WorkerError("device", "BioEmu 2 needs an NVIDIA GPU: --device cuda on a machine that has one")
    sequence = request["target"]["sequence"]
    system = System.from_description(proteins=[sequence])
    msa = load_a3m_msa(system, {system.chain_ids[0]: alignment(request, Path(request["cache"]))})
    model = load_model(
        checkpoint_path=checkpoint(request["checkpoints"]), device=request["device"], precision=settings["precision"]
    )
    session = EmuSession(system, model=model, mode="equilibrium", msa=msa)
    kept: list[Any] = []
    drawn = found = 0
    while found < wanted:
        if drawn >= settings["most_draws"] * wanted:
            raise WorkerError("filtered", f"{found} of {drawn} conformations are physical; {wanted} were asked for")
        trajectory = session.sample(
            num_samples=wanted - found,
            batch_size=request["batch_size"],
            sampler=settings["sampler"],
            seed=request["seed"] + drawn,
            progress=False,
        )
        drawn += len(trajectory)
        trajectory = trajectory[check_physicality(trajectory, settings["physicality"]).passed]
        found += len(trajectory)
        kept.append(trajectory)
    write(mdtraj.join([one for one in kept if len(one)])[:wanted])
    return {"samples": wanted, "drawn": drawn}


def checkpoint(files: dict[str, str]) -> Path:
    """The checkpoint with its configuration beside it, where the package looks for it."""
    missing = [name for name in ("model", "config") if name not in files]
    if missing:
        raise WorkerError("weights", f"the request has no checkpoint {' nor '.join(missing)}")
    folder = Path("checkpoint").resolve()
    folder.mkdir(exist_ok=True)
    for name, beside in (("model", "checkpoint.ckpt"), ("config", "config.yaml")):
        (folder / beside).unlink(missing_ok=True)
        (folder / beside).symlink_to(files[name])
    return folder / "checkpoint.ckpt"


def alignment(request: dict[str, Any], cache: Path) -> Path:
    """The alignment of the target. Raises WorkerError if it is not there."""
    target = request["target"]
    sequence = target["sequence"]
    if request["settings"]["msa"] == "none":
        alone = Path("alone.a3m")
        alone.write_text(f">query\n{sequence}\n", encoding="utf-8")
        return alone
    path = cache / "msa" / f"{hashlib.sha256(sequence.encode()).hexdigest()}.a3m"
    if not path.is_file():
        raise WorkerError(
            "alignment",
            f"no alignment of {target['name']}: put it at {path} (A3M, the sequence itself first), or set "
            'msa = "none" in the card',
        )
    return path


def write(ensemble: Any) -> None:
    """``samples.npz`` of a trajectory, which is in nm."""
    import numpy as np

    atoms = [atom for atom in ensemble.topology.atoms if atom.element.symbol != "H"]
    rows = [atom.index for atom in atoms]
    np.savez(
        "samples.npz",
        positions=(ensemble.xyz[:, rows] * 10.0).astype(np.float32),
        atom_names=np.array([atom.name for atom in atoms]),
        residue_names=np.array([atom.residue.name for atom in atoms]),
        residue_numbers=np.array([atom.residue.resSeq for atom in atoms]),
        chains=np.full(len(atoms), "A"),
    )


def versions() -> dict[str, str]:
    """Of what is installed of ``PACKAGES``, and of Python."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def memory() -> dict[str, float]:
    """Peak memory in MiB, of the processor and of the GPU."""
    found = {"peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["peak_device_memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def main(path: str) -> None:
    """Answers the request: ``result.json`` is renamed into place last."""
    started = time.monotonic()
    request = json.loads(Path(path).read_text(encoding="utf-8"))
    answer = {"status": "ok", "error": None, "reason": None, "random_weights": request.get("random_weights", False)}
    try:
        verbs = {"probe": probe, "sample": sample}
        if request["verb"] not in verbs:
            raise WorkerError("unsupported", f"this worker has no verb {request['verb']}")
        answer |= verbs[request["verb"]](request)
    except Exception as error:
        traceback.print_exc()
        text = str(error).lower()
        memory = isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
        reason = "out_of_memory" if memory else getattr(error, "reason", None)
        said = str(error) if isinstance(error, WorkerError) else f"{type(error).__name__}: {error}"
        answer |= {"status": "failed", "error": said, "reason": reason}
    answer |= {"versions": versions(), "seconds": round(time.monotonic() - started, 3)} | memory()
    partial = Path("result.json.part")
    partial.write_text(json.dumps(answer, indent=1, default=str), encoding="utf-8")
    partial.replace("result.json")


if __name__ == "__main__":
    main(sys.argv[1])
