"""The compact diffusion model: EDM over internal coordinates, with atoms rebuilt from ideal geometry."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ebabench.alignment.denoiser import Condition, Prepared
from ebabench.alignment.diffusion import Edm
from ebabench.errors import InputError
from ebabench.models.eba.internal import (
    CA,
    CHANNELS,
    TORSION_CHANNELS,
    Geometry,
    Layout,
    decode_angles,
    decode_frames,
    encode,
)
from ebabench.models.eba.network import Network
from ebabench.structures import Positions, Target

_ALTERNATIVES = 32  # how many frames stand in for the native while training


@dataclass(frozen=True)
class Config:
    """Shape of the model. ``native_from``: the shortest sequence that is told its native structure.

    A tetrapeptide has no native structure; telling the model one would only let it memorise a start.
    """

    width: int = 128
    depth: int = 5
    heads: int = 8
    pair: int = 32
    placement: Literal["chain", "frames"] = "chain"
    native_from: int = 8


class InternalDenoiser:
    """Implements `ebabench.alignment.denoiser.Denoiser`, and samples."""

    def __init__(self, config: Config, edm: Edm, geometry: Geometry | None = None, seed: int = 0) -> None:
        self.config = config
        self.edm = edm
        self.geometry = geometry
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Network(config.width, config.depth, config.heads, config.pair)

    @classmethod
    def fresh(cls, seed: int) -> InternalDenoiser:
        """An untrained model of the default shape."""
        return cls(Config(), Edm(), seed=seed)

    def prepare(self, target: Target, positions: Positions) -> Prepared:
        """Encodes positions [F, N, 3]; natives other than the first alternative are frames drawn evenly."""
        layout = Layout.of(target.atoms)
        native = layout.pad(torch.from_numpy(target.native[None].astype(np.float32)))[0]
        padded = layout.pad(torch.from_numpy(np.ascontiguousarray(positions)))
        chain = self.config.placement == "chain"
        spread = torch.linspace(0, max(len(padded) - 1, 0), _ALTERNATIVES).long().unique()
        natives = torch.cat([native[None], padded[spread]]) if chain and len(padded) else native[None]
        return Prepared(target.name, encode(padded, native, layout), self._condition(layout, natives))

    def condition(self, target: Target) -> Condition:
        """What sampling is conditioned on, with a leading axis of one."""
        layout = Layout.of(target.atoms)
        return self._condition(layout, layout.pad(torch.from_numpy(target.native[None].astype(np.float32))))

    def _condition(self, layout: Layout, natives: Tensor) -> Condition:
        count, length = natives.shape[:2]
        mask = torch.zeros(length, CHANNELS)
        mask[:, :TORSION_CHANNELS] = layout.torsion_mask().float().repeat_interleave(2, -1)
        if self.config.placement == "frames":
            mask[:, TORSION_CHANNELS:] = 1
        known = float(length >= self.config.native_from)
        return {
            "types": layout.types.expand(count, -1),
            "mask": mask.expand(count, -1, -1),
            "native": encode(natives, natives[0], layout)[..., :TORSION_CHANNELS],
            "distance": torch.cdist(natives[:, :, CA], natives[:, :, CA]),
            "known": torch.full((count,), known),
        }

    def denoise(self, noisy: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """Expected clean coordinates [B, L, 23] of noisy ones at noise levels [B]."""
        skip, out, scale, level = self.edm.precondition(sigma[:, None, None])
        inner = self.network(scale * noisy, level[:, 0, 0], **condition)
        clean: Tensor = (skip * noisy + out * inner) * condition["mask"]
        return clean

    def loss(self, coordinates: Tensor, condition: Condition, sigma: Tensor, noise: Tensor) -> Tensor:
        """EDM-weighted mean squared error over the coordinates that exist, [B]."""
        mask = condition["mask"]
        noisy = (coordinates + sigma[:, None, None] * noise) * mask
        error = (self.denoise(noisy, sigma, condition) - coordinates) * mask
        return self.edm.weight(sigma) * (error**2).sum((1, 2)) / mask.sum((1, 2))

    def adopt_geometry(self, data: list[tuple[Target, Positions]]) -> None:
        """Ideal bond lengths and angles: means over the training conformations."""
        self.geometry = Geometry.measure(
            [(Layout.of(t.atoms), torch.from_numpy(np.ascontiguousarray(p))) for t, p in data]
        )

    @torch.inference_mode()
    def sample(
        self,
        target: Target,
        samples: int,
        seed: int,
        *,
        steps: int,
        noise_scale: float = 1.0,
        step_scale: float = 1.0,
        batch_residues: int = 4096,
        device: str = "cpu",
        on_step: Callable[[], None] | None = None,
    ) -> Positions:
        """Conformations [samples, N, 3] in angstrom over target.atoms."""
        if self.geometry is None:
            raise ValueError("this denoiser has no geometry to build atoms with: train it, or load a checkpoint")
        layout = Layout.of(target.atoms)
        length = len(layout.types)
        network = self.network.to(device).eval()
        single = {name: value.to(device) for name, value in self.condition(target).items()}
        generator = torch.Generator(device).manual_seed(seed)
        native = layout.pad(torch.from_numpy(target.native[None].astype(np.float32)))[0]
        size = max(1, min(samples, batch_residues // length))
        parts = []
        for start in range(0, samples, size):
            count = min(size, samples - start)
            many = {name: value.expand(count, *value.shape[1:]) for name, value in single.items()}

            def denoise(x: Tensor, sigma: Tensor, many: Condition = many) -> Tensor:
                return self.denoise(x, sigma, many)

            coordinates = self.edm.sample(
                denoise,
                (count, length, CHANNELS),
                generator,
                steps=steps,
                noise_scale=noise_scale,
                step_scale=step_scale,
                on_step=on_step,
            ).cpu()
            angles = decode_angles(coordinates)
            if self.config.placement == "chain":
                padded = self.geometry.chain(angles, layout)
            else:
                padded = self.geometry.on_frames(*decode_frames(coordinates, native), angles, layout)
            parts.append(layout.unpad(padded))
        self.network = network
        return np.asarray(torch.cat(parts).numpy(), np.float32)

    def save(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """Half-precision weights with shape, process, geometry and provenance in one safetensors file."""
        if self.geometry is None:
            raise ValueError("nothing to save before the geometry is measured")
        tensors = {f"network.{k}": v.detach().cpu().half().contiguous() for k, v in self.network.state_dict().items()}
        for field in fields(Geometry):
            tensors[f"geometry.{field.name}"] = getattr(self.geometry, field.name).float().contiguous()
        metadata = {
            "config": json.dumps(asdict(self.config)),
            "edm": json.dumps(asdict(self.edm)),
            "provenance": json.dumps(dict(provenance), sort_keys=True),
        }
        temporary = path.with_name(f".{path.name}.part")
        save_file(tensors, temporary, metadata)
        temporary.chmod(0o644)  # safetensors leaves it to the owner alone
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> InternalDenoiser:
        """Reads what `save` wrote. Raises InputError for a file that is not such a checkpoint."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            config, edm = Config(**json.loads(metadata["config"])), Edm(**json.loads(metadata["edm"]))
            geometry = Geometry(**{f.name: tensors[f"geometry.{f.name}"] for f in dataclasses.fields(Geometry)})
            model = cls(config, edm, geometry)
            weights = {k.removeprefix("network."): v.float() for k, v in tensors.items() if k.startswith("network.")}
            model.network.load_state_dict(weights)
        except Exception as error:
            raise InputError(f"{path} is not a checkpoint of the compact model: {error}") from error
        return model
