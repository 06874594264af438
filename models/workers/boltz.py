"""Samples with Boltz-2, in its own environment: ``python -P boltz.py request.json``.

docs/reference/workers.md is the contract.

The package's own featuriser and network, without its command line: that one exits with 0 when the input could not be
read, writes one file a conformation, and does not keep to its limit of conformations at once. The trunk is evaluated
once a target. Nothing here asks the network.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import pickle
import resource
import sys
import tarfile
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

PACKAGES = ("boltz", "torch", "rdkit", "biotite", "numpy")
STEERING = {
    "fk_steering": False,
    "physical_guidance_update": False,
    "contact_guidance_update": False,
    "num_particles": 1,
}


class WorkerError(Exception):
    """What the user can mend. ``reason`` is a word for programs."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason


def probe(_: dict[str, Any]) -> dict[str, Any]:
    """Imports what ``sample`` needs."""
    import biotite.interface.rdkit  # noqa: F401
    import torch
    from boltz.data.module import inferencev2  # noqa: F401
    from boltz.main import process_inputs  # noqa: F401

    devices = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    return {"devices": devices}


def sample(request: dict[str, Any]) -> dict[str, Any]:
    """Draws conformations and writes them to ``samples.npz``."""
    import numpy as np
    import torch
    from pytorch_lightning import seed_everything
    from rdkit import Chem

    # Boltz names atoms by a property, which rdkit leaves out of pickles unless it is told so.
    Chem.SetDefaultPickleProperties(Chem.PropertyPickleOptions.AllProps)
    settings, random = request["settings"], request["random_weights"]
    seed_everything(request["seed"])
    device = torch.device(request["device"])
    molecules = random_molecules() if random else trained_molecules(request["checkpoints"], Path(request["cache"]))
    table, batch = features(request, molecules, device)
    network = (random_network() if random else trained_network(request["checkpoints"])).to(device).eval()
    network.structure_module.step_scale = settings["step_scale"]
    network.structure_module.sample = in_batches(network.structure_module.sample, request["batch_size"])
    half = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()
    with torch.no_grad(), half:
        answer = network(
            batch,
            recycling_steps=settings["recycles"],
            num_sampling_steps=settings["steps"],
            diffusion_samples=request["samples"],
        )
    present = batch["atom_pad_mask"][0].bool()
    np.savez("samples.npz", positions=answer["sample_atom_coords"][:, present].float().cpu().numpy(), **table)
    return {"samples": request["samples"], "parameters": sum(one.numel() for one in network.parameters())}


def in_batches(draw: Callable[..., dict[str, Any]], most: int) -> Callable[..., dict[str, Any]]:
    """The sampler ``draw``, asked for ``most`` conformations at a time.

    Its own max_parallel_samples makes ``samples % most + 1`` parts: one, when ``most`` divides them.
    """
    import torch

    def drawn(*, multiplicity: int, max_parallel_samples: int | None, **condition: Any) -> dict[str, Any]:
        assert max_parallel_samples is None
        parts = [
            draw(multiplicity=min(most, multiplicity - start), **condition)["sample_atom_coords"]
            for start in range(0, multiplicity, most)
        ]
        return {"sample_atom_coords": torch.cat(parts)}

    return drawn


def features(request: dict[str, Any], molecules: Path, device: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The table of the target's atoms, and the network's input. Raises WorkerError if Boltz cannot read the input."""
    import numpy as np
    from boltz.data.module.inferencev2 import Boltz2InferenceDataModule
    from boltz.data.types import Manifest, StructureV2
    from boltz.main import process_inputs

    chain = {"id": "A", "sequence": request["target"]["sequence"], "msa": alignment(request)}
    document = Path("target.yaml")  # which takes JSON
    document.write_text(json.dumps({"version": 1, "sequences": [{"protein": chain}]}), encoding="utf-8")
    folder = Path("boltz").resolve()
    process_inputs([document], folder, Path("none"), molecules, "none", "greedy", use_msa_server=False, boltz2=True)
    processed = folder / "processed"
    manifest = Manifest.load(processed / "manifest.json")
    if len(manifest.records) != 1:  # it prints what went wrong and goes on
        raise WorkerError("input", "boltz could not read the target; the log says why")
    module = Boltz2InferenceDataModule(
        manifest=manifest,
        target_dir=processed / "structures",
        msa_dir=processed / "msa",
        mol_dir=molecules,
        num_workers=0,
        constraints_dir=processed / "constraints",
        template_dir=processed / "templates",
        extra_mols_dir=processed / "mols",
        override_method=request["settings"]["method"],
    )
    batch = module.transfer_batch_to_device(next(iter(module.predict_dataloader())), device, 0)
    structure = StructureV2.load(processed / "structures" / f"{manifest.records[0].id}.npz").remove_invalid_chains()
    owner = np.repeat(np.arange(len(structure.residues)), structure.residues["atom_num"])
    return {
        "atom_names": structure.atoms["name"].astype(str),
        "residue_names": structure.residues["name"].astype(str)[owner],
        "residue_numbers": structure.residues["res_idx"][owner] + 1,
        "chains": np.full(len(owner), "A"),
    }, batch


def alignment(request: dict[str, Any]) -> str:
    """What Boltz is told of the alignment: the path of an A3M file, or "empty" for the sequence alone."""
    target = request["target"]
    if request["settings"]["msa"] == "none":
        return "empty"
    path = Path(request["cache"]) / "msa" / f"{hashlib.sha256(target['sequence'].encode()).hexdigest()}.a3m"
    if not path.is_file():
        raise WorkerError(
            "alignment",
            f"no alignment of {target['name']}: put it at {path} (A3M, the sequence itself first), "
            'or set msa = "none" in the card',
        )
    return str(path)


def trained_network(checkpoints: dict[str, str]) -> Any:
    """Boltz-2 as its command line builds it, less the heads for confidence."""
    from boltz.main import Boltz2DiffusionParams, MSAModuleArgs, PairformerArgsV2
    from boltz.model.models.boltz2 import Boltz2

    if "model" not in checkpoints:
        raise WorkerError("weights", "the request has no checkpoint model")
    network = Boltz2.load_from_checkpoint(
        checkpoints["model"],
        strict=True,
        map_location="cpu",
        predict_args={},
        ema=False,
        use_kernels=False,
        diffusion_process_args=asdict(Boltz2DiffusionParams()),
        pairformer_args=asdict(PairformerArgsV2()),
        msa_args=asdict(MSAModuleArgs(use_paired_feature=True)),
        steering_args=STEERING,
    )
    network.confidence_prediction = False
    return network


def random_network() -> Any:
    """A small network of the same architecture, for the plumbing."""
    from boltz.main import Boltz2DiffusionParams
    from boltz.model.models.boltz2 import Boltz2

    atom_encoder = {"atom_encoder_depth": 1, "atom_encoder_heads": 2}
    return Boltz2(
        atom_s=16,
        atom_z=8,
        token_s=32,
        token_z=16,
        num_bins=8,
        training_args={},
        validation_args={},
        validate_structure=False,
        confidence_prediction=False,
        atom_feature_dim=388,
        embedder_args=atom_encoder,
        msa_args={"msa_s": 16, "msa_blocks": 1, "msa_dropout": 0.0, "z_dropout": 0.0},
        pairformer_args={"num_blocks": 1, "num_heads": 2, "dropout": 0.0, "v2": True},
        score_model_args=atom_encoder
        | {
            "dim_fourier": 16,
            "token_transformer_depth": 1,
            "token_transformer_heads": 2,
            "atom_decoder_depth": 1,
            "atom_decoder_heads": 2,
            "conditioning_transition_layers": 1,
        },
        diffusion_process_args=asdict(Boltz2DiffusionParams()),
        diffusion_loss_args={},
        steering_args=STEERING,
    )


def trained_molecules(checkpoints: dict[str, str], cache: Path) -> Path:
    """The folder with the amino acids of Boltz's archive of chemical components, unpacked on the first call."""
    from boltz.data import const

    folder = cache / "mols"
    missing = [code for code in const.canonical_tokens if not (folder / f"{code}.pkl").is_file()]
    if missing:
        if "molecules" not in checkpoints:
            raise WorkerError("weights", "the request has no checkpoint molecules")
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(checkpoints["molecules"]) as archive:
            for code in missing:
                file = archive.extractfile(f"mols/{code}.pkl")
                assert file is not None
                part = folder / f".{code}.{os.getpid()}"  # whole or absent, whoever else unpacks it or kills this one
                part.write_bytes(file.read())
                part.replace(folder / f"{code}.pkl")
    return folder


def random_molecules() -> Path:
    """A folder of stand-ins for Boltz's chemical components: biotite's amino acids with conformers of rdkit's."""
    from biotite.interface.rdkit import to_mol
    from biotite.structure.info import residue
    from boltz.data import const
    from rdkit import Chem
    from rdkit.Chem import AllChem

    folder = Path("mols").resolve()
    folder.mkdir()
    for code in const.canonical_tokens:
        atoms = residue(code)
        molecule = to_mol(atoms, explicit_hydrogen=True)
        Chem.SanitizeMol(molecule)
        Chem.AssignStereochemistryFrom3D(molecule)
        for atom, name in zip(molecule.GetAtoms(), atoms.atom_name, strict=True):
            atom.SetProp("name", str(name))
        AllChem.EmbedMolecule(molecule, randomSeed=0, clearConfs=True)
        molecule.GetConformer().SetProp("name", "Computed")
        (folder / f"{code}.pkl").write_bytes(pickle.dumps(molecule))
    return folder


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
