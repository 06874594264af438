"""Install, probe, sample, read, match: what every third-party generator must get through, and a worker's bare call."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from proteins import build as peptide

from ebabench.generators import environments, workers
from ebabench.generators.build import build
from ebabench.generators.cards import Card, load_card
from ebabench.generators.protocol import Resources
from ebabench.structures import Ensemble, Target
from ebabench.structures.matching import match

TARGET = peptide("GYDPETGTWG")  # chignolin
SAMPLES, BATCH, SEED = 5, 2, 7


@dataclass(frozen=True)
class Exercise:
    """What a generator gave: to ``probe``, and to one seed twice and another once, in batches that do not fit."""

    card: Card
    versions: dict[str, str]
    first: Ensemble
    again: Ensemble
    other: Ensemble

    @property
    def names(self) -> list[set[str]]:
        """The atoms of each residue that the ensemble has in common with the target."""
        pairs = match(self.first.atoms, TARGET.atoms)
        name, residue = TARGET.atoms.name[pairs.reference], TARGET.atoms.residue[pairs.reference]
        return [set(name[residue == k].tolist()) for k in range(len(TARGET.sequence))]


def exercise(name: str, folder: Path) -> Exercise:
    """Installs a card's environment and samples the peptide in it. Says how long each step took."""
    card = load_card(name)
    _timed(f"{name}: install", lambda: environments.install(card))
    answer = _timed(f"{name}: probe", lambda: workers.probe(card, "cpu", folder / "probe.log"))

    def reference(_: str) -> Any:
        raise AssertionError("a generator of this kind reads no molecular dynamics")

    generator = build(card, Resources("cpu", reference, BATCH, folder / "logs", random_weights=True))
    draws = [
        _timed(f"{name}: sample {SAMPLES}", lambda seed=seed: generator.sample(TARGET, SAMPLES, seed))
        for seed in (SEED, SEED, SEED + 1)
    ]
    return Exercise(card, answer.versions, *draws)


def check_contract(done: Exercise) -> None:
    """Count, finiteness, one seed one ensemble, and conformations that are not the same."""
    for ensemble in (done.first, done.again, done.other):
        assert len(ensemble) == SAMPLES
        assert ensemble.random_weights
        assert np.isfinite(ensemble.positions).all()
    np.testing.assert_allclose(done.first.positions, done.again.positions, atol=1e-3)
    assert np.abs(done.first.positions - done.other.positions).max() > 0.1
    spread = np.abs(done.first.positions[:, None] - done.first.positions).max((2, 3))
    assert spread[~np.eye(SAMPLES, dtype=bool)].min() > 0.1, "two conformations are the same"


def heavy(target: Target) -> list[set[str]]:
    """The names of each residue's heavy atoms, without OXT."""
    name, residue = target.atoms.name, target.atoms.residue
    return [set(name[residue == k].tolist()) - {"OXT"} for k in range(len(target.sequence))]


def call(card: Card, request: dict[str, Any], folder: Path) -> workers.Answer:
    """A worker's answer to a request for two conformations with trained weights. Raises RunError if it failed."""
    folder.mkdir()
    whole = {
        "verb": "sample",
        "samples": 2,
        "seed": SEED,
        "batch_size": BATCH,
        "random_weights": False,
        "checkpoints": {},
        "settings": dict(card.sampling),
        "cache": str(folder / "cache"),
    }
    start = workers.Call(card, environments.python(card), "cpu", folder / "log.txt", threading.Event())
    return start(whole | request, TARGET, folder)


def run(card: Card, script: str, *arguments: object) -> None:
    """Runs a script in a card's environment, with the worker's own functions in ``worker``."""
    load = (
        "import importlib.util as u, sys\n"
        f"s = u.spec_from_file_location('worker', {str(workers.script(card))!r})\n"
        "worker = u.module_from_spec(s); s.loader.exec_module(worker)\n"
    )
    command = [str(environments.python(card)), "-P", "-c", load + script, *map(str, arguments)]
    subprocess.run(command, check=True, timeout=600)


def _timed(what: str, step: Any) -> Any:
    started = time.monotonic()
    result = step()
    print(f"{what}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return result
