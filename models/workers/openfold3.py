"""Samples with OpenFold3, in its own environment: ``python -P openfold3.py request.json``.

docs/reference/workers.md is the contract.

The package's own featuriser, trunk and sampler, without its command line: that one goes on after an exception and
exits with 0. The trunk is evaluated once a target; no template is used. Nothing here asks the network.
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

PACKAGES = ("openfold3", "torch", "rdkit", "biotite", "numpy")


class WorkerError(Exception):
    """What the user can mend. ``reason`` is a word for programs."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason


def probe(_: dict[str, Any]) -> dict[str, Any]:
    """Imports what ``sample`` needs."""
    import torch
    from openfold3.core.data.framework.single_datasets import inference  # noqa: F401
    from openfold3.projects.of3_all_atom import model, project_entry  # noqa: F401

    devices = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    return {"devices": devices}


def sample(request: dict[str, Any]) -> dict[str, Any]:
    """Draws conformations and writes them to ``samples.npz``."""
    import numpy as np
    import torch
    from openfold3.core.model.structure.diffusion_module import create_noise_schedule
    from openfold3.core.utils.tensor_utils import tensor_tree_map
    from pytorch_lightning import seed_everything

    settings, wanted, random = request["settings"], request["samples"], request["random_weights"]
    device = torch.device(request["device"])
    # Reference conformers are drawn at random, and so are the network's weights if they are.
    seed_everything(request["seed"])
    atoms, features = featurised(request)
    network = (random_network() if random else trained_network(request["checkpoints"])).to(device).eval()
    for name in ("gamma_0", "noise_scale", "step_scale"):
        setattr(network.sample_diffusion, name, settings[name])
    # The sampler has one axis more than the trunk, for the conformations.
    batch = tensor_tree_map(lambda feature: feature.to(device), features)
    expanded = tensor_tree_map(lambda feature: feature.unsqueeze(1), batch)
    parts = []
    with torch.no_grad():
        trunk = [part.unsqueeze(1) for part in network.run_trunk(batch, settings["recycles"] + 1, inplace_safe=True)]
        schedule = create_noise_schedule(
            no_rollout_steps=settings["steps"],
            **network.config.architecture.noise_schedule,
            dtype=trunk[0].dtype,
            device=device,
        )
        for start in range(0, wanted, request["batch_size"]):
            positions = network.sample_diffusion(
                batch=expanded,
                si_input=trunk[0],
                si_trunk=trunk[1],
                zij_trunk=trunk[2],
                noise_schedule=schedule,
                no_rollout_samples=min(request["batch_size"], wanted - start),
                use_high_precision_attention=True,
            )
            parts.append(positions[0].float().cpu().numpy())
    np.savez(
        "samples.npz",
        positions=np.concatenate(parts),
        atom_names=atoms.atom_name.astype(str),
        residue_names=atoms.res_name.astype(str),
        residue_numbers=atoms.res_id.astype(int),
        chains=atoms.chain_id.astype(str),
    )
    return {"samples": wanted, "parameters": sum(one.numel() for one in network.parameters())}


def featurised(request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The target's atoms in the network's order, and its input: batch of one."""
    import torch
    from openfold3.core.data.framework.data_module import openfold_batch_collator
    from openfold3.core.data.framework.single_datasets.inference import InferenceDataset
    from openfold3.core.data.pipelines.preprocessing.template import TemplatePreprocessorSettings
    from openfold3.projects.of3_all_atom.config.dataset_config_components import MSASettings, TemplateSettings
    from openfold3.projects.of3_all_atom.config.dataset_configs import InferenceJobConfig
    from openfold3.projects.of3_all_atom.config.inference_query_format import InferenceQuerySet

    chain = {
        "molecule_type": "protein",
        "chain_ids": ["A"],
        "sequence": request["target"]["sequence"],
        "main_msa_file_paths": [str(alignment(request))],
    }
    queries = InferenceQuerySet.model_validate({"queries": {"target": {"chains": [chain]}}})
    templates = Path("templates").resolve()
    dataset = InferenceDataset(
        InferenceJobConfig(
            query_set=queries,
            msa=MSASettings(subsample_main=False),
            template=TemplateSettings(take_top_k=True),
            template_preprocessor_settings=TemplatePreprocessorSettings(mode="predict", output_directory=templates),
        )
    )
    # Reading the data set as a sequence would turn any exception into an empty sample.
    features = dataset.create_all_features(queries.queries["target"])
    atoms = features.pop("atom_array")
    return atoms, openfold_batch_collator([{k: v for k, v in features.items() if isinstance(v, torch.Tensor)}])


def alignment(request: dict[str, Any]) -> Path:
    """The alignment, under the name by which OpenFold3 knows how many rows to read of it."""
    target = request["target"]
    if request["settings"]["msa"] == "none":
        text = f">query\n{target['sequence']}\n"
    else:
        path = Path(request["cache"]) / "msa" / f"{hashlib.sha256(target['sequence'].encode()).hexdigest()}.a3m"
        if not path.is_file():
            raise WorkerError(
                "alignment",
                f"no alignment of {target['name']}: put it at {path} (A3M, the sequence itself first), "
                'or set msa = "none" in the card',
            )
        text = path.read_text(encoding="utf-8")
    given = Path("colabfold_main.a3m").resolve()
    given.write_text(text, encoding="utf-8")
    return given


def configuration() -> Any:
    """OpenFold3's own for predictions, less the kernels that need a GPU of a certain kind."""
    from openfold3.projects.of3_all_atom.project_entry import OF3ProjectEntry

    config = OF3ProjectEntry().get_model_config_with_presets(["predict"])
    config.settings.memory.eval.use_triton_triangle_kernels = False
    return config


def trained_network(checkpoints: dict[str, str]) -> Any:
    """The network with a checkpoint's weights: the averaged ones, where there are such."""
    from openfold3.core.utils.checkpoint_loading_utils import get_state_dict_from_checkpoint, load_checkpoint
    from openfold3.entry_points.experiment_runner import skip_random_init
    from openfold3.projects.of3_all_atom.model import OpenFold3

    if "model" not in checkpoints:
        raise WorkerError("weights", "the request has no checkpoint model")
    with skip_random_init():  # which takes minutes
        network = OpenFold3(configuration())
    checkpoint = load_checkpoint(Path(checkpoints["model"]))
    weights, _ = get_state_dict_from_checkpoint(checkpoint, init_from_ema_weights=True)
    network.load_state_dict({name.removeprefix("model."): value for name, value in weights.items()})
    return network


def random_network() -> Any:
    """A shallow network of the same widths, for the plumbing."""
    from openfold3.projects.of3_all_atom.model import OpenFold3

    config = configuration()
    parts = config.architecture
    for stack in (
        parts.input_embedder.atom_attn_enc,
        parts.template.template_pair_stack,
        parts.msa.msa_module,
        parts.pairformer,
        parts.diffusion_module.atom_attn_enc,
        parts.diffusion_module.diffusion_transformer,
        parts.diffusion_module.atom_attn_dec,
        parts.heads.pairformer_embedding.pairformer,
    ):
        stack.no_blocks = 1
    return OpenFold3(config)


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
