"""Fine-tunes the diffusion module with ebabench's loop: the trunk is frozen, and evaluated once a target.

Imported once ebabench is on the path.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import af3_network
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ebabench.errors import InputError
from ebabench.training.batches import Example
from ebabench.training.cartesian_loss import denoising_loss, of_residues, superposed
from ebabench.training.denoiser import Prepared
from ebabench.training.diffusion import Edm
from ebabench.training.distributed import Alone
from ebabench.training.loop import TrainConfig, train
from ebabench.training.settings import configured

_EMBEDDINGS = ("single_inputs", "single", "pair")
Featurise = Callable[[str, str], tuple[Mapping[str, Any], Any]]


class DiffusionModule:
    """Protenix's diffusion module as the loop sees it: coordinates [B, atoms, 3] in angstrom."""

    def __init__(self, protenix: Any) -> None:
        self.protenix = protenix
        self.network = protenix.diffusion_module
        own, schedule = protenix.train_noise_sampler, protenix.inference_noise_scheduler
        self.process = Edm(
            sigma_data=own.sigma_data,
            sigma_min=own.sigma_data * schedule.s_min,
            sigma_max=own.sigma_data * schedule.s_max,
            rho=schedule.rho,
            log_mean=own.p_mean,
            log_std=own.p_std,
        )

    def loss(self, coordinates: Tensor, condition: Mapping[str, Tensor], level: Tensor, noise: Tensor) -> Tensor:
        """Residues' shares [B, residues] in aligned squared error plus smooth lDDT (Lu et al., arXiv:2505.24203)."""
        rows = len(condition["weight"])
        parts = zip(coordinates.chunk(rows), level.chunk(rows), noise.chunk(rows), strict=True)
        return torch.cat(
            [self._of_target(*part, {name: v[row] for name, v in condition.items()}) for row, part in enumerate(parts)]
        )

    def _of_target(self, coordinates: Tensor, sigma: Tensor, noise: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        weight = condition["weight"]
        features = {name: v for name, v in condition.items() if name not in (*_EMBEDDINGS, "weight")}
        embedded = af3_network.Embedded(features, *(condition[name] for name in _EMBEDDINGS))
        truth = turned(coordinates, weight, noise)
        predicted = self.network(
            x_noisy=self.process.noised(truth, noise, sigma[:, None, None]),
            t_hat_noise_level=sigma,
            **af3_network.condition(self.protenix, embedded),
        )
        weights = weight.expand(len(truth), -1)
        shares = denoising_loss(predicted, truth, weights, self.process.weight(sigma))
        return of_residues(shares, condition["atom_to_token_idx"], len(condition["single"]))

    def crop(
        self, coordinates: Tensor, condition: Mapping[str, Tensor], residues: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Coordinates [K, atoms, 3] and condition of some residues, which keep their places in the chain."""
        token = condition["atom_to_token_idx"]
        atoms = torch.isin(token, residues).nonzero()[:, 0]
        own = {name: value[atoms if len(value) == len(token) else residues] for name, value in condition.items()}
        own["pair"] = own["pair"][:, residues]
        own["atom_to_token_idx"] = torch.searchsorted(residues, token[atoms])
        return coordinates[:, atoms], own

    def save(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """Writes the whole network, as `af3_network.read_weights` reads it."""
        self.protenix.diffusion_module = self.network
        weights = {name: value.contiguous().cpu() for name, value in self.protenix.state_dict().items()}
        save_file(weights, path, {"provenance": json.dumps(provenance, sort_keys=True)})


def turned(coordinates: Tensor, weight: Tensor, noise: Tensor) -> Tensor:
    """Centred and turned at random. The turn is drawn from the noise [B, N, 3]: who shares that, shares the turn.

    So the noise cancels from differences between conformations, and a run that is resumed turns as before.
    """
    quaternions = []
    for bits in noise.contiguous().cpu().view(torch.int32).flatten(1).sum(1).tolist():
        quaternions.append(torch.randn(4, generator=torch.Generator().manual_seed(bits)))
    w, x, y, z = torch.nn.functional.normalize(torch.stack(quaternions), dim=1).T
    rotation = torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        -1,
    )  # fmt: skip
    centre = (weight[:, None] * coordinates).sum(-2, keepdim=True) / weight.sum()
    return (coordinates - centre) @ rotation.view(-1, 3, 3).to(coordinates).transpose(-1, -2)


def finetune(protenix: Any, featurise: Featurise, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answers the verb: ``data`` holds NAME.npz, ``out`` is the run's folder, ``training`` has the loop's settings."""
    config = configured(TrainConfig, request["training"])
    out, device = Path(request["out"]), request["device"]
    if config.crop and config.batch_residues >= 2 * config.crop:
        raise InputError("crops differ in atoms: one a batch (batch_residues below twice the crop), several a step")
    out.mkdir(parents=True, exist_ok=True)
    for name, parameter in protenix.named_parameters():  # the module has constants among its own
        parameter.requires_grad = parameter.requires_grad and name.startswith("diffusion_module.")
    paths = sorted(Path(request["data"]).glob("*.npz"))
    if not paths:
        raise InputError(f"{request['data']} has no NAME.npz")
    examples = [_example(protenix, featurise, path, request, out / "prepared") for path in paths]
    provenance = {
        "architecture": request["settings"]["architecture"],
        "random_weights": request["random_weights"],
        "start_sha256": _sha256([Path(path) for path in request["checkpoints"].values()]),
        "data_sha256": _sha256(paths),
    }
    losses: list[float] = []
    with Path("progress.csv").open("a", buffering=1) as progress:

        def on_step(step: int, loss: float) -> None:
            losses.append(loss)
            progress.write(f"{step},{loss:.6g}\n")

        checkpoint = train(DiffusionModule(protenix), examples, config, out, provenance, on_step, Alone(device))
    shutil.rmtree(out / "prepared")
    return {"checkpoint": str(checkpoint.resolve()), "steps": len(losses), "loss": losses[-1] if losses else None}


def _sha256(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _example(protenix: Any, featurise: Featurise, path: Path, request: Mapping[str, Any], folder: Path) -> Example:
    """Frames, energies and embeddings of one target; kept in ``folder``, and read from there as needed."""
    kept = folder / f"{path.stem}.safetensors"
    with np.load(path, allow_pickle=False) as data:
        if not kept.exists():
            features, atoms = featurise(path.stem, str(data["sequence"]))
            embedded = af3_network.embed(protenix, features, request["settings"]["cycles"], request["device"])
            coordinates, weight = in_order(path.stem, atoms, data)
            condition = {**embedded.features, **{name: getattr(embedded, name) for name in _EMBEDDINGS}}
            tensors = {name: value[None] for name, value in {**condition, "weight": weight}.items()}
            tensors |= {"coordinates": coordinates, "places": coordinates[0, np.flatnonzero(atoms.atom_name == "CA")]}
            folder.mkdir(exist_ok=True)
            partial = kept.with_suffix(".part")
            save_file({name: value.contiguous().cpu() for name, value in tensors.items()}, partial)
            partial.replace(kept)
        energies, residue_energies = (
            torch.from_numpy(data[name]).float() if name in data else None for name in ("energies", "residue_energies")
        )
    with safe_open(kept, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    coordinates, places = tensors.pop("coordinates"), tensors.pop("places")
    if energies is not None and energies.shape != coordinates.shape[:1]:
        raise InputError(f"{path.stem}: {len(energies)} energies of {len(coordinates)} frames")
    return Example(Prepared(path.stem, coordinates, tensors, places), energies, residue_energies)


def in_order(name: str, atoms: Any, data: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Frames [F, N, 3] over the network's atoms, all superposed on the first, and weights [N]: 0 for a missing OXT.

    Raises InputError if the data lack another atom or are not finite.
    """
    positions = data["positions"]
    if not np.isfinite(positions).all():
        raise InputError(f"{name}: frame {int(np.argmin(np.isfinite(positions).all((1, 2)))) + 1} is not finite")
    at = {key: k for k, key in enumerate(zip(data["residues"].tolist(), data["atom_names"].tolist(), strict=True))}
    wanted = list(zip((atoms.res_id - 1).tolist(), atoms.atom_name.tolist(), strict=True))
    if missing := [key for key in wanted if key not in at and key[1] != "OXT"]:
        raise InputError(f"{name}: the frames lack {missing[0][1]} of residue {missing[0][0] + 1}")
    columns = [at.get(key, at[key[0], "C"]) for key in wanted]
    weight = torch.tensor([float(key in at) for key in wanted])
    frames = torch.from_numpy(positions[:, columns]).float()
    return superposed(frames, frames[:1].expand_as(frames), weight.expand(len(frames), -1)), weight
