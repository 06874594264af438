"""Samples with Protenix, in its own environment: ``python -P protenix.py request.json``.

docs/reference/workers.md is the contract.

The package's own command line is not used: it wants the network, takes a dropout at inference for granted and exits
with 0 when it failed. Its parts in ``protenix/`` beside this file are what differs between versions, the files that it
would download, and training.
"""

from __future__ import annotations

import importlib.metadata
import json
import random
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent / "protenix"))  # at the end: installed packages come first

PACKAGES = ("protenix", "torch", "numpy", "biotite", "rdkit")


class FailureError(Exception):
    """What the user can mend. ``reason`` is a word for programs."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason


def probe(_request: dict[str, Any]) -> dict[str, Any]:
    """Imports what ``sample`` needs."""
    import af3_network
    import torch

    af3_network.load(Path.cwd())
    from protenix.model import generator  # noqa: F401

    af3_network.second_line()
    return {"devices": ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]}


def sample(request: dict[str, Any]) -> dict[str, Any]:
    """Draws conformations from the package's sampler and writes them to ``samples.npz``."""
    import af3_network
    import numpy as np
    import torch

    network = prepared_network(request)
    features, atoms = featurised(request)
    from protenix.model.generator import sample_diffusion

    settings, drawn = request["settings"], []
    embedded = af3_network.embed(network, features, settings["cycles"], request["device"])
    condition = af3_network.condition(network, embedded)
    schedule = network.inference_noise_scheduler(N_step=settings["steps"], device=torch.device(request["device"]))
    with torch.no_grad():
        for first in range(0, request["samples"], request["batch_size"]):
            batch = sample_diffusion(
                network.diffusion_module,
                noise_schedule=schedule,
                N_sample=min(request["batch_size"], request["samples"] - first),
                noise_scale_lambda=settings["noise_scale"],
                step_scale_eta=settings["step_scale"],
                gamma0=settings["churn"],
                **condition,
            )
            drawn.append(batch.float().cpu().numpy())
    np.savez(
        "samples.npz",
        positions=np.concatenate(drawn).astype(np.float32),
        atom_names=atoms.atom_name.astype(str),
        residue_names=atoms.res_name.astype(str),
        residue_numbers=atoms.res_id.astype(np.int64),
        chains=np.full(len(atoms), "A"),
    )
    return {"samples": request["samples"], "parameters": sum(one.numel() for one in network.parameters())}


def finetune(request: dict[str, Any]) -> dict[str, Any]:
    """Trains the diffusion module with ebabench's own loop, which is found in ``framework``."""
    sys.path.append(request["framework"])
    import af3_training

    def features(name: str, sequence: str) -> tuple[Any, Any]:
        return featurised(request | {"target": {"name": name, "sequence": sequence}})

    return af3_training.finetune(prepared_network(request), features, request)


def featurised(request: dict[str, Any]) -> tuple[Any, Any]:
    """The target's features and heavy atoms. Raises FailureError where its alignment is wanted and missing."""
    import af3_network

    name, sequence = request["target"]["name"], request["target"]["sequence"]
    alignment = None
    if request["settings"]["msa"] != "none" and not request["random_weights"]:
        alignment = af3_network.alignment_of(sequence, Path(request["cache"]))
        if not alignment.is_file():
            raise FailureError(
                "alignment",
                f"no alignment of {name}: put it at {alignment} (A3M, the sequence itself first), or set "
                'msa = "none" in the card',
            )
    return af3_network.featurise(name, sequence, alignment, Path(request["cache"]))


def prepared_network(request: dict[str, Any]) -> Any:
    """The network on its device, with the checkpoint's weights or, if the request says so, random ones."""
    import af3_network
    import numpy as np
    import torch

    af3_network.load(Path(request["cache"]))
    # Features are turned at random, by three generators.
    random.seed(request["seed"])
    np.random.seed(request["seed"])
    torch.manual_seed(request["seed"])
    weights = None
    if not request["random_weights"]:
        if "model" not in request["checkpoints"]:
            raise FailureError("weights", "the request has no checkpoint model")
        weights = Path(request["checkpoints"]["model"])
    network = af3_network.build(request["settings"]["architecture"], weights is None, blank=weights is not None)
    if weights is not None:
        af3_network.read_weights(network, weights)
    return network.to(request["device"])


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
        verbs = {"probe": probe, "sample": sample, "finetune": finetune}
        if request["verb"] not in verbs:
            raise FailureError("unsupported", f"this worker has no verb {request['verb']}")
        answer |= verbs[request["verb"]](request)
    except Exception as error:
        traceback.print_exc()
        text = str(error).lower()
        memory = isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
        reason = "out_of_memory" if memory else getattr(error, "reason", None)
        answer |= {"status": "failed", "error": f"{type(error).__name__}: {error}", "reason": reason}
    answer |= {"versions": versions(), "seconds": round(time.monotonic() - started, 3)} | memory()
    partial = Path("result.json.part")
    partial.write_text(json.dumps(answer, indent=1, default=str), encoding="utf-8")
    partial.replace("result.json")


if __name__ == "__main__":
    main(sys.argv[1])
