"""Samples with BioEmu, in its own environment: ``python -P bioemu.py request.json``.

docs/reference/workers.md is the contract.

BioEmu denoises backbone frames, in nanometres, conditioned on AlphaFold2's Evoformer embeddings of the sequence, which
are kept in the cache. Nothing here asks the network: where there is none, the package's own client of the alignment
server tries again for ever.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import resource
import sys
import tarfile
import time
import traceback
from pathlib import Path
from typing import Any

PACKAGES = ("bioemu", "torch", "jax")
PARAMETERS = "params_model_3.npz"  # of AlphaFold2's five models, the one whose embeddings BioEmu was trained on


class WorkerError(Exception):
    """What the user can mend. ``reason`` is a word for programs."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason


def probe(_: dict[str, Any]) -> dict[str, Any]:
    """Imports what ``sample`` needs."""
    import torch
    from bioemu import convert_chemgraph, sample, shortcuts  # noqa: F401

    devices = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    return {"devices": devices}


def sample(request: dict[str, Any]) -> dict[str, Any]:
    """Draws conformations until as many as asked for are physical, and writes these to ``samples.npz``."""
    import mdtraj
    import torch
    from bioemu import shortcuts
    from bioemu.convert_chemgraph import filter_unphysical_traj
    from bioemu.sample import generate_batch

    settings, wanted, random = request["settings"], request["samples"], request["random_weights"]
    if settings["side_chains"] and "HPACKER_PYTHONBIN" not in os.environ:  # the package would install it
        raise WorkerError("unsupported", "side chains need hpacker: set HPACKER_PYTHONBIN to the Python that has it")
    sequence, cache = request["target"]["sequence"], Path(request["cache"])
    embeddings = random_embeddings(sequence) if random else trained_embeddings(request, cache)
    network, sdes = random_network(request["seed"]) if random else trained_network(request["checkpoints"], cache)
    denoiser = functools.partial(
        {"dpm": shortcuts.dpm_solver, "heun": shortcuts.heun_denoiser}[settings["denoiser"]],
        N=settings["steps"],
        eps_t=settings["eps_t"],
        # An untrained network that starts from nearly pure noise ends hundreds of nanometres wide.
        max_t=0.7 if random else settings["max_t"],
        noise=settings["noise"],
    )
    kept: list[Any] = []
    drawn = found = 0
    while found < wanted:
        if drawn >= settings["most_draws"] * wanted:
            raise WorkerError("filtered", f"{found} of {drawn} conformations are physical; {wanted} were asked for")
        with torch.no_grad():
            batch = generate_batch(
                score_model=network,
                sequence=sequence,
                sdes=sdes,
                batch_size=request["batch_size"],
                seed=request["seed"] + drawn,
                denoiser=denoiser,
                cache_embeds_dir=embeddings,
            )
        trajectory = backbone(batch["pos"], batch["node_orientations"], sequence)
        drawn += len(trajectory)
        # Nothing that an untrained network gives is physical.
        trajectory = trajectory if random else filter_unphysical_traj(trajectory)
        found += len(trajectory)
        kept.append(trajectory)
    ensemble = mdtraj.join([trajectory for trajectory in kept if len(trajectory)])[:wanted]
    if settings["side_chains"]:
        from bioemu.sidechain_relax import reconstruct_sidechains

        ensemble = reconstruct_sidechains(ensemble)
        if len(ensemble) != wanted:
            raise WorkerError("side_chains", f"hpacker gave side chains to {len(ensemble)} of {wanted} conformations")
    write(ensemble)
    parameters = sum(one.numel() for one in network.parameters())
    return {"samples": wanted, "drawn": drawn, "parameters": parameters}


def trained_network(checkpoints: dict[str, str], cache: Path) -> tuple[Any, Any]:
    """Score network and diffusion processes of a published model: its checkpoint and its configuration."""
    from bioemu.model_utils import load_model, load_sdes

    missing = [name for name in ("model", "config") if name not in checkpoints]
    if missing:
        raise WorkerError("weights", f"the request has no checkpoint {' nor '.join(missing)}")
    network = load_model(checkpoints["model"], checkpoints["config"])
    # The tables of the rotational diffusion take minutes to make.
    return network.eval(), load_sdes(checkpoints["config"], str(cache / "so3"))


def random_network(seed: int) -> tuple[Any, Any]:
    """A small network of the same architecture with coarse tables, for the plumbing."""
    import torch
    from bioemu.shortcuts import CosineVPSDE, DiGConditionalScoreModel, DiGSO3SDE

    torch.manual_seed(seed)
    network = DiGConditionalScoreModel(
        dim_model=32, dim_pair=16, dim_hidden=64, num_layers=2, num_heads=4, num_buckets=16
    )
    return network.eval(), {
        "pos": CosineVPSDE(),
        "node_orientations": DiGSO3SDE(num_sigma=50, num_omega=200, l_max=200),
    }


def digest(sequence: str) -> str:
    """What BioEmu names the embeddings of a sequence by."""
    return hashlib.sha256(sequence.encode()).hexdigest()


def random_embeddings(sequence: str) -> Path:
    """The folder of stand-ins for the embeddings: in the folder of this call, never in the cache."""
    import numpy as np

    folder = Path("embeddings").resolve()
    folder.mkdir()
    generator = np.random.default_rng(0)
    length = len(sequence)
    np.save(folder / f"{digest(sequence)}_single.npy", generator.standard_normal((length, 384), np.float32))
    np.save(folder / f"{digest(sequence)}_pair.npy", generator.standard_normal((length, length, 128), np.float32))
    return folder


def trained_embeddings(request: dict[str, Any], cache: Path) -> Path:
    """The folder with the embeddings of the target, after they were made of its alignment if they were not there.

    Raises WorkerError if the alignment or AlphaFold2's parameters are missing.
    """
    import numpy as np

    target, alignments = request["target"], request["settings"]["msa"]
    sequence = target["sequence"]
    # Embeddings of a lone sequence and of an alignment are not the same.
    folder = cache / f"embeddings-{alignments}"
    single, pair = (folder / f"{digest(sequence)}_{kind}.npy" for kind in ("single", "pair"))
    if single.is_file() and pair.is_file():
        return folder
    alignment = cache / "msa" / f"{digest(sequence)}.a3m"
    if alignments == "none":
        text = f">query\n{sequence}\n"
    elif alignment.is_file():
        text = alignment.read_text(encoding="utf-8")
    else:
        raise WorkerError(
            "alignment",
            f"no alignment of {target['name']}: put it at {alignment} (A3M, the sequence itself first), or its "
            f'embeddings into {folder}, or set msa = "none" in the card',
        )
    # Imported only now: jax is slow to start.
    from bioemu.colabfold_inline.model_runner import get_embeddings

    arrays = get_embeddings(sequence, text, data_dir=alphafold(request["checkpoints"], cache))
    folder.mkdir(parents=True, exist_ok=True)
    for path, array in zip((single, pair), arrays, strict=True):
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.save(file, array)
        partial.replace(path)
    return folder


def alphafold(checkpoints: dict[str, str], cache: Path) -> Path:
    """The folder with AlphaFold2's parameters, unpacked from their archive as the package wants to find them."""
    folder = cache / "alphafold"
    parameters, marker = folder / "params" / PARAMETERS, folder / "params" / "download_finished.txt"
    if marker.is_file() and parameters.is_file():
        return folder
    if "alphafold" not in checkpoints:
        raise WorkerError("weights", "the request has no checkpoint alphafold, and the embeddings are not in the cache")
    with tarfile.open(checkpoints["alphafold"]) as archive:
        member = archive.getmember(PARAMETERS)
        member.name = parameters.name
        archive.extract(member, parameters.parent, filter="data")
    marker.touch()
    return folder


def backbone(positions: Any, orientations: Any, sequence: str) -> Any:
    """The trajectory of N, CA, C, CB and O that frames (positions [S, L, 3] in nm) stand for."""
    import mdtraj
    import numpy as np
    from bioemu.convert_chemgraph import get_atom37_from_frames
    from openfold.np.residue_constants import atom_types, restype_1to3

    topology = mdtraj.Topology()
    chain = topology.add_chain()
    frames = []
    for position, orientation in zip(positions * 10.0, orientations, strict=True):
        atoms, present, _ = get_atom37_from_frames(position - position.mean(0), orientation, sequence)
        frames.append(atoms[present].numpy())
    for number, (letter, mask) in enumerate(zip(sequence, present.numpy(), strict=True), start=1):
        residue = topology.add_residue(restype_1to3[letter], chain, resSeq=number)
        for index in np.flatnonzero(mask):
            topology.add_atom(atom_types[index], mdtraj.element.get_by_symbol(atom_types[index][0]), residue)
    return mdtraj.Trajectory(np.stack(frames) / 10.0, topology)


def write(ensemble: Any) -> None:
    """``samples.npz`` of a trajectory, which is in nm."""
    import numpy as np

    atoms = list(ensemble.topology.atoms)
    np.savez(
        "samples.npz",
        positions=(ensemble.xyz * 10.0).astype(np.float32),
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
