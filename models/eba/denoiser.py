"""The compact model: diffusion or flow over internal coordinates, with atoms rebuilt from ideal geometry."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from ebabench.errors import InputError
from ebabench.models.eba.internal import (
    CA,
    CHANNELS,
    TORSION_CHANNELS,
    C,
    Geometry,
    Layout,
    N,
    decode_angles,
    decode_frames,
    encode,
)
from ebabench.models.eba.network import Network
from ebabench.structures import Target
from ebabench.structures.arrays import Positions
from ebabench.system.files import replace_file
from ebabench.training.cartesian_loss import denoising_loss
from ebabench.training.denoiser import Condition, Prepared
from ebabench.training.diffusion import Edm
from ebabench.training.flow import Flow
from ebabench.training.process import Noise, unit_noise
from ebabench.training.sampler import CHURN
from ebabench.training.settings import configured

_PROCESSES: tuple[type[Edm] | type[Flow], ...] = (Edm, Flow)
_ANGSTROM = 3.0  # what an error of one unit of the coordinates makes of positions, so that both losses compare
_LONGEST_BOND = 2.5  # angstrom from C to the next N: 1.33, and what a crude structure makes of it
_BLOCK = 250  # conformations whose noise is drawn at once: what the suites ask for
_ALTERNATIVES = 32  # how many frames stand in for the native while training


@dataclass(frozen=True)
class Config:
    """Shape of the model. ``native_from``: the shortest sequence that is told its native structure.

    A tetrapeptide has no native structure; telling the model one would only let it memorise a start. ``atoms``: what
    the loss of positions (`ebabench.training.cartesian_loss`) of the backbone atoms that the torsions make counts
    beside that of the coordinates.
    """

    width: int = 128
    depth: int = 5
    heads: int = 8
    pair: int = 32
    placement: Literal["chain", "frames"] = "chain"
    native_from: int = 8
    atoms: float = 0.0

    def __post_init__(self) -> None:
        if self.placement not in ("chain", "frames"):
            raise InputError(f"placement {self.placement!r}: chain or frames")
        if self.atoms and self.placement != "chain":
            raise InputError("atoms: their positions are trained where they are placed by torsions, not by frames")
        if self.width % self.heads:
            raise InputError(f"width {self.width} is no multiple of heads {self.heads}")


class InternalDenoiser:
    """A ``Denoiser`` of internal coordinates that also samples."""

    entry = "ebabench.models.eba.generator:build"
    sampling: Mapping[str, float] = {"steps": 20, "noise_scale": 1.0, "step_scale": 1.0}

    def __init__(self, config: Config, process: Edm | Flow, geometry: Geometry | None = None, seed: int = 0) -> None:
        self.config = config
        self.process = process
        self.geometry = geometry
        self._frozen = False
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Network(config.width, config.depth, config.heads, config.pair)

    @classmethod
    def fresh(cls, seed: int, settings: Mapping[str, Any]) -> InternalDenoiser:
        """Return a new diffusion model. ``settings`` are those of ``Config``."""
        return cls(configured(Config, settings), Edm(), seed=seed)

    def prepare(self, target: Target, positions: Positions) -> Prepared:
        """Return prepared positions [F, N, 3]. Alternatives to the native are frames, evenly spaced."""
        layout, native = _read(target)
        padded = layout.pad(torch.from_numpy(np.ascontiguousarray(positions)))
        chain = self.config.placement == "chain"
        spread = torch.linspace(0, max(len(padded) - 1, 0), _ALTERNATIVES).long().unique()
        natives = torch.cat([native[None], padded[spread]]) if chain and len(padded) else native[None]
        condition = self._condition(layout, natives)
        return Prepared(target.name, encode(padded, native, layout), condition, native[:, CA])

    def condition(self, target: Target) -> Condition:
        """Return the condition for sampling, with a leading axis of one."""
        layout, native = _read(target)
        return self._condition(layout, native[None])

    def _condition(self, layout: Layout, natives: Tensor) -> Condition:
        count, length = natives.shape[:2]
        mask = torch.zeros(length, CHANNELS)
        mask[:, :TORSION_CHANNELS] = layout.torsion_mask().float().repeat_interleave(2, -1)
        if self.config.placement == "frames":
            mask[:, TORSION_CHANNELS:] = 1
        known = float(length >= self.config.native_from)
        place = torch.arange(length)
        condition = {
            "mask": mask.expand(count, -1, -1),
            "types": layout.types.expand(count, -1),
            "ends": ((place == 0).long() + 2 * (place == length - 1).long()).expand(count, -1),
            "place": place.expand(count, -1),
            "native": encode(natives, natives[0], layout)[..., :TORSION_CHANNELS],
            "distance": torch.cdist(natives[:, :, CA], natives[:, :, CA]),
            "known": torch.full((count,), known),
        }
        if not self._frozen:
            return condition
        with torch.no_grad():
            return self._embedded(condition)

    def _embedded(self, condition: Condition) -> Condition:
        """Return the condition as embeddings of the trunk."""
        if "pair" in condition:
            return condition
        single, pair = self.network.embed(**{name: value for name, value in condition.items() if name != "mask"})
        return {"mask": condition["mask"], "types": condition["types"], "single": single, "pair": pair}

    def freeze(self) -> None:
        """Freeze the embeddings of sequence and native. ``prepare`` then returns them."""
        for parameter in self.network.trunk():
            parameter.requires_grad_(False)
        self._frozen = True

    def crop(self, coordinates: Tensor, condition: Condition, residues: Tensor) -> tuple[Tensor, Condition]:
        """Crop coordinates and condition to ``residues``. Sequence positions do not change."""
        cut = {name: value[residues] if value.ndim else value for name, value in condition.items()}
        cut |= {name: cut[name][:, residues] for name in ("distance", "pair") if name in cut}
        return coordinates[:, residues], cut

    def denoise(self, noisy: Tensor, level: Tensor, condition: Condition) -> Tensor:
        """Return the expected clean coordinates [B, L, 23] of noisy ones at levels [B]. Condition rows: B / R."""
        skip, out, scale, told = self.process.precondition(level[:, None, None])
        known = self._embedded(condition)
        inner = self.network(scale * noisy, told[:, 0, 0], known["mask"], known["single"], known["pair"])
        clean: Tensor = (skip * noisy + out * inner) * _repeated(condition["mask"], noisy)
        return clean

    def free(self, condition: Condition) -> Tensor:
        """Return 1 for coordinates [rows, L, 23] that exist, 0 for others."""
        return condition["mask"]

    def loss(self, coordinates: Tensor, condition: Condition, level: Tensor, noise: Tensor) -> Tensor:
        """Return the shares [B, L] of residues in the weighted mean squared error over existing coordinates."""
        mask = _repeated(condition["mask"], coordinates)
        noisy = self.process.noised(coordinates, noise, level[:, None, None]) * mask
        clean = self.denoise(noisy, level, condition)
        squared = (((clean - coordinates) * mask) ** 2).sum(2)
        shares = self.process.weight(level)[:, None] * squared / mask.sum((1, 2))[:, None]
        if self.config.atoms:
            shares = shares + self.config.atoms * self._atoms_loss(clean, coordinates, condition["types"], level)
        return shares

    def _atoms_loss(self, clean: Tensor, coordinates: Tensor, types: Tensor, level: Tensor) -> Tensor:
        """Return the shares [B, L] of residues in the loss of backbone positions."""
        if self.geometry is None:
            raise InputError("atoms: a model needs its geometry before their positions can be trained")
        kinds = _repeated(types, coordinates)
        with torch.autocast(coordinates.device.type, enabled=False):
            predicted, truth = (
                self.geometry.backbone(decode_angles(x.float()), kinds).flatten(1, 2) for x in (clean, coordinates)
            )
            weight = torch.ones_like(truth[..., 0])
            shares = denoising_loss(predicted, truth, weight, self.process.weight(level) / _ANGSTROM**2)
        of_residues: Tensor = shares.unflatten(1, (-1, 3)).sum(2)
        return of_residues

    def adopt_geometry(self, data: Iterable[tuple[Target, Positions]]) -> None:
        """Measure ideal bond lengths and angles, as means over the training conformations."""
        self.geometry = Geometry.measure((_read(t)[0], torch.from_numpy(np.ascontiguousarray(p))) for t, p in data)

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
        churn: float = CHURN,
        batch_residues: int = 4096,
        device: str = "cpu",
        on_step: Callable[[], None] | None = None,
    ) -> Positions:
        """Return conformations [samples, N, 3] in angstrom, over ``target.atoms``.

        Conformation k depends on the seed, the target and k alone: its noise is the same however many others there
        are, on whatever device, and however many go through the network at a time (``batch_residues`` over the length).
        What differs is the rounding of sums. With ``churn`` 0 the sampler follows the probability flow, whose density
        is known (``ebabench.training.density``).
        """
        if self.geometry is None:
            raise ValueError("this denoiser has no geometry to build atoms with: train it, or load a checkpoint")
        layout, native = _read(target)
        length = len(layout.types)
        network = self.network.to(device).eval()
        condition = self._embedded({name: value.to(device) for name, value in self.condition(target).items()})
        size = max(1, batch_residues // length)

        def denoise(x: Tensor, level: Tensor) -> Tensor:
            portions = zip(x.split(size), level.split(size), strict=True)
            return torch.cat([self.denoise(*portion, condition) for portion in portions])

        coordinates = self.process.sample(
            denoise,
            _noise_of_each(samples, (length, CHANNELS), seed, device),
            steps=steps,
            noise_scale=noise_scale,
            step_scale=step_scale,
            churn=churn,
            on_step=on_step,
        ).cpu()
        parts = []
        for portion in coordinates.split(size):
            angles = decode_angles(portion)
            if self.config.placement == "chain":
                padded = self.geometry.chain(angles, layout)
            else:
                padded = self.geometry.on_frames(*decode_frames(portion, native), angles, layout)
            parts.append(layout.unpad(padded))
        self.network = network
        return np.asarray(torch.cat(parts).numpy(), np.float32)

    def save(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """Write half-precision weights, shape, process, geometry and provenance as one safetensors file.

        The same model gives the same bytes: safetensors keeps no order of metadata, so that there is but one entry.
        """
        if self.geometry is None:
            raise ValueError("nothing to save before the geometry is measured")
        tensors = {f"network.{k}": v.detach().cpu().half().contiguous() for k, v in self.network.state_dict().items()}
        for field in fields(Geometry):
            tensors[f"geometry.{field.name}"] = getattr(self.geometry, field.name).float().contiguous()
        described = {
            "config": asdict(self.config),
            "process": {self.process.name: asdict(self.process)},
            "provenance": dict(provenance),
        }
        replace_file(path, save(tensors, {"model": json.dumps(described, sort_keys=True)}))

    @classmethod
    def load(cls, path: Path) -> InternalDenoiser:
        """Return the model of a checkpoint. Raises InputError if the file is not one."""
        try:
            with safe_open(path, "pt") as file:
                described = json.loads(file.metadata()["model"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            config = Config(**described["config"])
            process = next(
                kind(**described["process"][kind.name]) for kind in _PROCESSES if kind.name in described["process"]
            )
            geometry = Geometry(**{f.name: tensors[f"geometry.{f.name}"] for f in dataclasses.fields(Geometry)})
            model = cls(config, process, geometry)
            weights = {k.removeprefix("network."): v.float() for k, v in tensors.items() if k.startswith("network.")}
            model.network.load_state_dict(weights)
            if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
                raise ValueError(f"{broken[0]} holds numbers that are not finite")
        except Exception as error:
            why = " ".join(str(error).split())
            raise InputError(
                f"{path} is not a checkpoint of the compact model: {why}", code="checkpoint.read", file=path
            ) from error
        return model


class FlowDenoiser(InternalDenoiser):
    """The compact model, trained by flow matching."""

    @classmethod
    def fresh(cls, seed: int, settings: Mapping[str, Any]) -> InternalDenoiser:
        """Return a new flow. ``settings`` are those of ``Config``."""
        return InternalDenoiser(configured(Config, settings), Flow(), seed=seed)

    @classmethod
    def load(cls, path: Path) -> InternalDenoiser:
        """Return the model of a checkpoint. Raises InputError if the file is not the checkpoint of a flow."""
        model = InternalDenoiser.load(path)
        if not isinstance(model.process, Flow):
            raise InputError(f"{path} is a diffusion model, not a flow: train it on as --denoiser compact")
        return model


def _noise_of_each(samples: int, shape: tuple[int, ...], seed: int, device: str) -> Noise:
    """Return a source of noise [samples, *shape]. The noise of conformation k depends on the seed and k only.

    It is drawn for whole blocks of conformations, by the processor, and what is not wanted is dropped.
    """
    seeds = [seed, *(_block_seed(seed, block) for block in range(1, -(-samples // _BLOCK)))]
    blocks = [unit_noise((_BLOCK, *shape), torch.Generator().manual_seed(one)) for one in seeds]
    return lambda: torch.cat([draw() for draw in blocks])[:samples].to(device)


def _block_seed(seed: int, block: int) -> int:
    return int(np.random.SeedSequence([seed, block]).generate_state(1, np.uint64)[0])


def _repeated(values: Tensor, rows: Tensor) -> Tensor:
    """Return ``values`` with each row repeated for its consecutive ``rows``."""
    return values.repeat_interleave(len(rows) // len(values), 0)


def _read(target: Target) -> tuple[Layout, Tensor]:
    """Where the target's atoms lie, and its native [L, WIDTH, 3].

    Raises InputError for atoms or residues that the model does not know, without a whole backbone, or with a gap in it.
    """
    try:
        layout = Layout.of(target.atoms)
    except ValueError as error:
        raise InputError(f"{target.name}: {error}") from error
    native = layout.pad(torch.from_numpy(target.native[None].astype(np.float32)))[0]
    bonds = (native[1:, N] - native[:-1, C]).norm(dim=-1)
    if (bonds > _LONGEST_BOND).any():
        k = int(bonds.argmax())
        raise InputError(
            f"{target.name}: residues {k + 1} and {k + 2} are {float(bonds[k]):.1f} A apart where a bond should join "
            "them: the model takes a chain for whole"
        )
    return layout, native
