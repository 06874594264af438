"""One training stage from data to checkpoint and card."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ebabench.errors import InputError, RunError
from ebabench.structures import Target
from ebabench.structures.arrays import FloatArray, Positions
from ebabench.system.files import replace_file, replacement
from ebabench.system.registry import Registry, folder, resolve
from ebabench.training import density
from ebabench.training.basins import joint_basins
from ebabench.training.batches import Example
from ebabench.training.config import TrainConfig
from ebabench.training.data import Progress, Trajectories
from ebabench.training.denoiser import Denoiser, Prepared
from ebabench.training.distributed import assemble
from ebabench.training.exclusions import Exclusion, keep
from ebabench.training.loop import claim, train


class DenoiserKind(Protocol):
    """A kind of denoiser: makes a new one, or reads one from a checkpoint.

    Attributes:
        entry: The ``entry`` of the card of a trained checkpoint.
        sampling: The sampling settings of that card.
    """

    entry: str
    sampling: Mapping[str, float]

    def fresh(self, seed: int, settings: Mapping[str, Any]) -> Denoiser:
        """Return a new model with some settings replaced. Raises InputError for an unknown setting."""
        ...

    def load(self, path: Path) -> Denoiser:
        """Return the model of a checkpoint. Raises InputError if the file is not one."""
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
    """The inputs of a training stage, which the checkpoint records.

    Attributes:
        denoiser: The kind of model.
        suites: Training suites.
        stride: Every ``stride``-th frame is used.
        start: The checkpoint with the initial weights; None for a new model.
        command: The command line.
        model: The shape of a new model.
        energy: The energy protocol, if the objective needs energies.
        data_sha256: Required digest of the conformations, if a run is repeated.
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
    """Return the model with its initial weights.

    Args:
        stage: The stage.
        seed: Seed of the initial weights of a new model.

    Raises:
        InputError: The kind of model, its shape or the checkpoint is not valid.
    """
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
    remark: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train one stage, and return the path of the checkpoint. A card of it is written beside it.

    Prepared conformations and embeddings are stored in ``out/prepared`` until training ends.

    Args:
        stage: The inputs.
        data: The training frames.
        config: All settings.
        out: The folder of the training run.
        on_step: Called with step and loss after each step.
        device: Where the model trains.
        devices: Number of processes.
        tensorboard: Whether to write a TensorBoard log, too.
        left_out: What is excluded from the data, to be stored beside the checkpoint.
        on_progress: Called during the work before the first step.
        remark: Called with sentences on the geometry and on the validation losses.

    Raises:
        InputError: As ``train``; or the conformations are too few (``training.too_little``) or not those of the run
            that is repeated (``training.other_data``).
        RunError: As ``train``.
    """
    config = config.on(device)
    denoiser = begun(stage, config.seed)
    if config.freeze:
        denoiser.freeze()
    digests: list[str] = []
    conformations = _read(data, digests, on_progress)
    if config.objective == "sft" or stage.start is None:
        try:
            denoiser.adopt_geometry(conformations)
        except ValueError as error:
            if stage.start is None:
                raise InputError(
                    f"these conformations do not suffice: {error}. Train on more sequences, or from a checkpoint",
                    code="training.too_little",
                ) from error
            remark(f"bond lengths and angles stay those of {stage.start}: {error}")
    for _ in conformations:  # those that the geometry did not need
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
        raise InputError(
            "these are not the conformations of the run of these settings: give its --data or --samples",
            code="training.other_data",
        )
    claim(out, config, provenance)
    keep(left_out, out)
    examples = []
    for one in data:
        examples.append(_example(denoiser, one, out / "prepared"))
        on_progress("targets encoded", len(examples), len(data))
    if config.residual != "none":
        examples = [_with_density(denoiser, one, config, out / "prepared", device) for one in examples]
    if config.within_basins:
        examples = _with_basins(examples, data)
    team = assemble(device, devices)
    checkpoint = train(denoiser, examples, config, out, provenance, on_step, team, tensorboard, remark)
    if team.rank == 0:
        shutil.rmtree(out / "prepared", ignore_errors=True)
        _write_card(DENOISERS.load(stage.denoiser), stage, config.objective, checkpoint)
    return checkpoint


def _read(
    data: Sequence[Trajectories], digests: list[str], on_progress: Progress
) -> Iterator[tuple[Target, Positions]]:
    """Yield the conformations of one target after another, and append their digests to ``digests``."""
    for one in data:
        read = one.read()
        digests.append(read.digest())
        on_progress("targets read", len(digests), len(data))
        yield read.target, read.positions


def _write_card(kind: DenoiserKind, stage: Stage, objective: str, checkpoint: Path) -> None:
    """Write ``OUT/OUT.toml``, the card with which the checkpoint is sampled and scored like any model."""
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
    """Return the prepared conformations of a target, from ``folder`` if they are stored there."""
    path = folder / f"{one.name}.safetensors"
    tensors = _kept(path)
    if tensors is None:
        folder.mkdir(exist_ok=True)
        read = one.read()
        _keep(denoiser.prepare(read.target, read.positions), path)
        tensors = _kept(path) or {}
    condition = {name: value for name, value in tensors.items() if name not in ("coordinates", "places")}
    prepared = Prepared(one.name, tensors["coordinates"], condition, tensors.get("places"))
    return Example(prepared, _tensor(one.kept(one.energies)), _tensor(one.kept(one.residue_energies)))


def _with_density(denoiser: Denoiser, example: Example, config: TrainConfig, folder: Path, device: str) -> Example:
    """Return conformations with the density that the initial weights give them, from ``folder`` if it is there."""
    path = folder / f"{example.prepared.target}.{config.residual}.density"
    stored = _kept(path)
    if stored is None:
        generator = torch.Generator().manual_seed(config.seed)
        denoiser.network.to(device).eval()
        if config.residual == "flow":
            values = density.by_flow(denoiser, example.prepared, generator, device)
        else:
            values = density.by_loss(denoiser, example.prepared, generator, config.alpha_t, device)
        stored = {"log_density": values}
        with replacement(path) as temporary:
            save_file(stored, temporary)
    return replace(example, log_density=stored["log_density"])


def _with_basins(examples: Sequence[Example], data: Sequence[Trajectories]) -> list[Example]:
    """Return conformations with the numbers of their backbone basins."""
    numbered = []
    for example, one in zip(examples, data, strict=True):
        read = one.read()
        numbered.append(replace(example, basins=torch.from_numpy(joint_basins(read.target.atoms, read.positions))))
    if not any(len(one.basins.unique()) < len(one.basins) for one in numbered if one.basins is not None):
        raise InputError(
            "no two conformations of a target share a backbone basin: within_basins needs more of them",
            code="training.no_basin",
        )
    return numbered


def _keep(prepared: Prepared, path: Path) -> None:
    tensors = {"coordinates": prepared.coordinates, **prepared.condition}
    if prepared.places is not None:
        tensors["places"] = prepared.places
    try:
        with replacement(path) as temporary:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
    except SafetensorError as error:  # what safetensors makes of a full disk
        raise RunError(f"cannot write {path}: {error}", code="training.write", file=path) from error


def _kept(path: Path) -> dict[str, torch.Tensor] | None:
    """The tensors in a file; None if there is none that is whole."""
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None


def _tensor(values: FloatArray | None) -> torch.Tensor | None:
    return None if values is None else torch.from_numpy(values).float()
