"""One training stage from beginning to end: what ``ebabench align`` does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ebabench.alignment.batches import Example
from ebabench.alignment.data import Conformations
from ebabench.alignment.denoiser import Denoiser
from ebabench.alignment.training import TrainConfig, train
from ebabench.registry import Registry, resolve


class DenoiserKind(Protocol):
    """How a kind of denoiser comes into being: fresh, or from a checkpoint."""

    def fresh(self, seed: int) -> Denoiser:
        """An untrained model of the default shape."""
        ...

    def load(self, path: Path) -> Denoiser:
        """The model of a checkpoint. Raises InputError if the file is not one."""
        ...


def _kind(_name: str, location: str) -> DenoiserKind:
    kind: DenoiserKind = resolve(location)
    return kind


DENOISERS: Registry[DenoiserKind] = Registry(
    "denoiser",
    "ebabench.denoisers",
    lambda: {
        "compact": "ebabench.models.eba.denoiser:InternalDenoiser",
        "compact-flow": "ebabench.models.eba.denoiser:FlowDenoiser",
    },
    _kind,
)


@dataclass(frozen=True)
class Stage:
    """What is trained from what: enters the checkpoint. ``start`` is a checkpoint, or none for a fresh model."""

    denoiser: str
    suites: tuple[str, ...]
    stride: int
    start: Path | None
    command: str


def fingerprint(data: Sequence[Conformations]) -> str:
    """SHA-256 of the conformations and energies."""
    digest = hashlib.sha256()
    for c in data:
        digest.update(c.target.atoms.digest().encode() + np.ascontiguousarray(c.positions).tobytes())
        if c.energies is not None:
            digest.update(c.energies.tobytes())
    return digest.hexdigest()


def align(
    stage: Stage,
    data: Sequence[Conformations],
    config: TrainConfig,
    out: Path,
    on_step: Callable[[int, float], None] | None = None,
    device: str = "cpu",
) -> Path:
    """Trains one stage; returns the checkpoint. Raises what `train` raises."""
    kind = DENOISERS.load(stage.denoiser)
    denoiser = kind.load(stage.start) if stage.start else kind.fresh(config.seed)
    if config.objective == "sft":
        denoiser.adopt_geometry([(c.target, c.positions) for c in data])
    examples = [
        Example(
            denoiser.prepare(c.target, c.positions),
            None if c.energies is None else torch.from_numpy(c.energies).float(),
        )
        for c in data
    ]
    provenance: dict[str, Any] = {
        "denoiser": stage.denoiser,
        "suites": list(stage.suites),
        "stride": stage.stride,
        "data_sha256": fingerprint(data),
        "start_sha256": hashlib.sha256(stage.start.read_bytes()).hexdigest() if stage.start else None,
        "command": stage.command,
    }
    return train(denoiser, examples, config, out, provenance, on_step, device)
