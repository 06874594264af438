"""One training stage from beginning to end: what ``ebabench align`` does."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ebabench.errors import InputError
from ebabench.structures import Target
from ebabench.structures.arrays import FloatArray, Positions
from ebabench.system.files import replace_file
from ebabench.system.registry import Registry, folder, resolve
from ebabench.training.batches import Example
from ebabench.training.data import Progress, Trajectories
from ebabench.training.denoiser import Denoiser, Prepared
from ebabench.training.distributed import assemble
from ebabench.training.exclusions import Exclusion, keep
from ebabench.training.loop import TrainConfig, claim, train


class DenoiserKind(Protocol):
    """How a kind of denoiser comes into being: fresh, or from a checkpoint; and how a checkpoint is sampled.

    ``entry`` and ``sampling`` are what a card of a checkpoint says.
    """

    entry: str
    sampling: Mapping[str, float]

    def fresh(self, seed: int, settings: Mapping[str, Any]) -> Denoiser:
        """An untrained model; ``settings`` go before its defaults. Raises InputError for one that it does not have."""
        ...

    def load(self, path: Path) -> Denoiser:
        """The model of a checkpoint. Raises InputError if the file is not one."""
        ...


def _kind(name: str, location: str) -> DenoiserKind:
    kind: DenoiserKind = resolve(location)
    if lacking := [name for name in ("entry", "sampling", "fresh", "load") if not hasattr(kind, name)]:
        raise InputError(f"denoiser {name!r}: {location} has no {lacking[0]}", code="plugin.type", name=name)
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
    """What is trained from what: enters the checkpoint.

    ``start`` is a checkpoint, or none for a fresh model, whose shape ``model`` sets. ``energy``: the protocol, where
    the objective needs energies. ``data_sha256``: what the conformations must have, where a run is made again.
    """

    denoiser: str
    suites: tuple[str, ...]
    stride: int
    start: Path | None
    command: str
    model: Mapping[str, Any] = field(default_factory=dict)
    energy: str | None = None
    data_sha256: str | None = None


def begun(stage: Stage, seed: int) -> Denoiser:
    """The model that a stage begins with. Raises InputError for a kind, a shape or a checkpoint that is none."""
    kind = DENOISERS.load(stage.denoiser)
    return kind.load(stage.start) if stage.start else kind.fresh(seed, stage.model)


def align(
    stage: Stage,
    data: Sequence[Trajectories],
    config: TrainConfig,
    out: Path,
    on_step: Callable[[int, float], None] | None = None,
    device: str = "cpu",
    devices: int = 1,
    tensorboard: bool = False,
    left_out: Sequence[Exclusion] = (),
    on_progress: Progress = lambda _what, _done, _total: None,
) -> Path:
    """Trains one stage; returns the checkpoint, beside which lies a card of it. Raises what `train` raises.

    ``left_out``, what is not among the data although it was asked for, is kept beside it, too. ``on_progress`` is told
    of what precedes the first step, ``on_step`` of every step.
    What the model makes of the conformations, the embeddings of a frozen trunk among it, is kept in out/prepared until
    training has ended, and read from there as needed.
    """
    denoiser = begun(stage, config.seed)
    if config.freeze:
        denoiser.freeze()
    digests: list[str] = []
    conformations = _read(data, digests, on_progress)
    if config.objective == "sft":
        try:
            denoiser.adopt_geometry(conformations)
        except ValueError as error:
            raise InputError(f"these conformations do not suffice: {error}") from error
    for _ in conformations:  # those that were not wanted for the geometry
        pass
    provenance: dict[str, Any] = {
        "denoiser": stage.denoiser,
        "model": dict(stage.model),
        "suites": list(stage.suites),
        "stride": stage.stride,
        "energy": stage.energy,
        "data_sha256": hashlib.sha256("".join(digests).encode()).hexdigest(),
        "start_sha256": hashlib.sha256(stage.start.read_bytes()).hexdigest() if stage.start else None,
        "command": stage.command,
    }
    if stage.data_sha256 not in (None, provenance["data_sha256"]):
        raise InputError("these are not the conformations of the run of these settings: give its --data or --samples")
    claim(out, config, provenance)
    keep(left_out, out)
    examples = []
    for one in data:
        examples.append(_example(denoiser, one, out / "prepared"))
        on_progress("targets encoded", len(examples), len(data))
    team = assemble(device, devices)
    checkpoint = train(denoiser, examples, config, out, provenance, on_step, team, tensorboard)
    if team.rank == 0:
        shutil.rmtree(out / "prepared", ignore_errors=True)
        _write_card(DENOISERS.load(stage.denoiser), stage, config.objective, checkpoint)
    return checkpoint


def _read(
    data: Sequence[Trajectories], digests: list[str], on_progress: Progress
) -> Iterator[tuple[Target, Positions]]:
    """All conformations, a target at a time; leaves the digest of each in ``digests``."""
    for one in data:
        read = one.read()
        digests.append(read.digest())
        on_progress("targets read", len(digests), len(data))
        yield read.target, read.positions


def _write_card(kind: DenoiserKind, stage: Stage, objective: str, checkpoint: Path) -> None:
    """``OUT/OUT.toml``, by which the checkpoint can be sampled and scored as any model."""
    from jinja2 import Environment, StrictUndefined

    name = re.sub(r"[^a-z0-9_.-]", "-", checkpoint.resolve().parent.name.lower()).lstrip("_.-") or "trained"
    source = (folder("ebabench.training") / "templates" / "trained.toml.j2").read_text(encoding="utf-8")
    template = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False).from_string(source)
    text = template.render(
        name=name,
        denoiser=stage.denoiser,
        objective=objective,
        entry=kind.entry,
        data=", ".join(stage.suites),
        size=checkpoint.stat().st_size,
        sha256=hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        sampling=kind.sampling,
    )
    replace_file(checkpoint.with_name(f"{name}.toml"), text)


def _example(denoiser: Denoiser, one: Trajectories, folder: Path) -> Example:
    """What the denoiser makes of a target's conformations, from ``folder`` if it is there; pages of it when used."""
    path = folder / f"{one.name}.safetensors"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        read = one.read()
        _keep(denoiser.prepare(read.target, read.positions), path)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    condition = {name: value for name, value in tensors.items() if name not in ("coordinates", "places")}
    prepared = Prepared(one.name, tensors["coordinates"], condition, tensors.get("places"))
    return Example(prepared, _tensor(one.kept(one.energies)), _tensor(one.kept(one.residue_energies)))


def _keep(prepared: Prepared, path: Path) -> None:
    tensors = {"coordinates": prepared.coordinates, **prepared.condition}
    if prepared.places is not None:
        tensors["places"] = prepared.places
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
    temporary.replace(path)


def _tensor(values: FloatArray | None) -> torch.Tensor | None:
    return None if values is None else torch.from_numpy(values).float()
