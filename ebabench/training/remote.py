"""Train a model in an environment of its own: its worker runs the training loop.

The worker answers the verb ``finetune`` (docs/reference/workers.md). Energies are computed in this process, because the
worker's environment has no OpenMM.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

import ebabench
from ebabench.errors import RunError
from ebabench.generators import environments
from ebabench.generators.cards import CARDS, Card, load_card
from ebabench.generators.workers import Call, OutOfMemoryError
from ebabench.system.cache import cache_dir
from ebabench.system.files import replace_file
from ebabench.training.config import TrainConfig
from ebabench.training.data import Conformations, Trajectories
from ebabench.training.exclusions import Exclusion, keep

_LOOK = 0.2  # seconds between looks at how far the worker has come
_AT_ONCE = 1 << 20  # bytes of losses between two looks


def worker_card(name: str) -> Card | None:
    """Return the card of a name or path if it is a worker's, else None."""
    card = load_card(name) if name in CARDS or name.endswith(".toml") else None
    return card if card is not None and card.environment.kind == "worker" else None


def required(card: Card, start: Path | None, random_weights: bool = False) -> tuple[Path, dict[str, Path]]:
    """Return the interpreter and the checkpoints, by name, for training.

    Args:
        card: The model.
        start: Replaces the card's checkpoint ``model``.
        random_weights: Whether to train without checkpoints.

    Raises:
        InputError: The environment or a checkpoint is missing.
    """
    python = environments.python(card)
    if random_weights:
        return python, {}
    own = {one.name: card.checkpoint(one.name) for one in card.checkpoints if start is None or one.name != "model"}
    return python, own | ({"model": start} if start else {})


def finetune(
    card: Card,
    data: Sequence[Trajectories],
    config: TrainConfig,
    out: Path,
    start: Path | None = None,
    device: str = "cpu",
    random_weights: bool = False,
    left_out: Sequence[Exclusion] = (),
    on_step: Callable[[int, float], None] | None = None,
) -> Path:
    """Train the part of a model that its worker can train, and return the path of the checkpoint.

    The same call continues a stopped training. The worker's output is in ``out/worker.log``, the losses in
    ``out/log.csv``.

    Args:
        card: The model.
        data: The training frames.
        config: All settings.
        out: The folder of the training run.
        start: Replaces the card's checkpoint ``model``.
        device: Where the model trains.
        random_weights: Whether to train without checkpoints.
        left_out: What is excluded from the data, to be stored in ``out``.
        on_step: Called with step and loss for every step that the worker reports.

    Raises:
        InputError: The environment or a checkpoint is missing.
        RunError: The worker failed or cannot train (``worker.failed``), ran out of memory (``worker.memory``), or left
            no checkpoint (``worker.answer``).
    """
    python, checkpoints = required(card, start, random_weights)
    (out / "data").mkdir(parents=True, exist_ok=True)
    for stale in {path.name for path in (out / "data").iterdir()} - {f"{one.name}.npz" for one in data}:
        (out / "data" / stale).unlink()
    for one in data:
        replace_file(out / "data" / f"{one.name}.npz", _arrays(one.read()))
    keep(left_out, out)
    cache = cache_dir() / "workers" / card.name
    cache.mkdir(parents=True, exist_ok=True)
    request = {
        "verb": "finetune",
        "training": asdict(config),
        "data": str((out / "data").resolve()),
        "out": str(out.resolve()),
        "framework": str(Path(ebabench.__file__).resolve().parents[1]),
        "seed": config.seed,
        "checkpoints": {name: str(path.resolve()) for name, path in checkpoints.items()},
        "random_weights": random_weights,
        "settings": dict(card.sampling),
        "cache": str(cache.resolve()),
    }
    with tempfile.TemporaryDirectory(prefix="ebabench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with _followed(folder / "progress.csv", on_step or (lambda _step, _loss: None)):
            try:
                Call(_unhurried(card), python, device, out / "worker.log", threading.Event())(request, None, folder)
            except OutOfMemoryError as error:
                raise RunError(
                    f"{card.name}: {error}; take fewer residues per batch, --set batch_residues=N", code="worker.memory"
                ) from error
    checkpoint = out / "model.safetensors"
    if not checkpoint.is_file():
        raise RunError(f"{card.name}: the worker says ok, but left no {checkpoint}", code="worker.answer")
    return checkpoint


def _unhurried(card: Card) -> Card:
    """Return the card without the deadline, which is for the sampling of one target."""
    environment = card.environment.model_copy(update={"timeout": float("inf")})
    return card.model_copy(update={"environment": environment})


@contextmanager
def _followed(path: Path, on_step: Callable[[int, float], None]) -> Iterator[None]:
    """Call ``on_step`` for every new line STEP,LOSS of a file during the body. Other lines are ignored."""
    over, place = threading.Event(), 0

    def look() -> None:
        nonlocal place
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(place)
            text = file.read(_AT_ONCE)
        whole = text[: text.rfind(b"\n") + 1]
        place += len(whole)
        for line in whole.splitlines():
            step, _, loss = line.partition(b",")
            with suppress(ValueError):
                on_step(int(step), float(loss))

    def follow() -> None:
        while not over.wait(_LOOK):
            look()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    look()


def _arrays(read: Conformations) -> bytes:
    atoms, buffer = read.target.atoms, BytesIO()
    arrays: dict[str, Any] = {
        "sequence": np.array(read.target.sequence),
        "positions": read.positions,
        "atom_names": atoms.name,
        "residues": atoms.residue,
    }
    if read.energies is not None:
        arrays["energies"] = read.energies
    if read.residue_energies is not None:
        arrays["residue_energies"] = read.residue_energies
    np.savez(buffer, **arrays)
    return buffer.getvalue()
