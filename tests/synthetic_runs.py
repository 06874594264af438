"""Chains of C-alphas that shake, and a small family of metrics, for the tests from scoring to leaderboard."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ebabench.datasets.suites import Suite, SuiteTarget
from ebabench.generators.sampling import sample
from ebabench.results.identity import Identity
from ebabench.results.runs import Run
from ebabench.scoring.metric import Metric
from ebabench.scoring.pair import Pair
from ebabench.scoring.reference_cache import reference_digest
from ebabench.scoring.selection import Selection
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures import ONE_TO_THREE, Atoms, Ensemble, Reference, Target
from ebabench.workflows.progress import silent
from ebabench.workflows.session import Session

SEQUENCES = {"one": "AGSTVL", "two": "KLEDFW", "three": "MIHCNQ", "four": "YQRPAG", "five": "VVTSKL"}


def target(name: str) -> Target:
    sequence = SEQUENCES[name]
    names = np.array([ONE_TO_THREE[letter] for letter in sequence])
    atoms = Atoms(np.array(["CA"] * len(sequence)), names, np.arange(len(sequence)))
    turn = np.arange(len(sequence)) * 0.9
    native = np.stack([3.8 * np.arange(len(sequence)) * 0.8, 2.6 * np.cos(turn), 2.6 * np.sin(turn)], axis=1)
    return Target(name, sequence, atoms, native.astype(np.float32))


def ensemble(name: str, samples: int = 20, seed: int = 0, amplitude: float = 0.4) -> Ensemble:
    one = target(name)
    rng = np.random.default_rng([seed, *name.encode()])
    return Ensemble(name, one.atoms, (one.native + amplitude * rng.normal(size=(samples, 6, 3))).astype(np.float32))


def reference(name: str, replicas: int = 3, frames: int = 60) -> Reference:
    moved = tuple(ensemble(name, frames, seed=100 + k).positions for k in range(replicas))
    return Reference(target(name), moved, "md-implicit")


def spec(key: str, **changes: object) -> MetricSpec:
    settings = {
        "version": 1, "title": key, "unit": "A", "better": "lower", "aggregate": None, "needs": "ca", "paper": "",
    }  # fmt: skip
    return MetricSpec(key=key, **(settings | changes))


def spread(positions: np.ndarray) -> float:
    return float(np.sqrt(((positions - positions.mean(0)) ** 2).sum(2).mean()))


def compute(pair: Pair) -> Mapping[str, Value]:
    model, md = pair.model_ca, pair.md_ca
    return {
        "shift": float(np.sqrt(((model.mean(0) - md.mean(0)) ** 2).sum(1).mean())),
        "pairwise_rmsd": spread(model),
        "md_pairwise_rmsd": spread(md),
        "rmsf": np.sqrt(((model - model.mean(0)) ** 2).sum(2).mean(0)),
        "md_rmsf": np.sqrt(((md - md.mean(0)) ** 2).sum(2).mean(0)),
        "jaccard": float("nan") if pair.target == "two" else 0.75,
        "side_chains": NotAvailable("the model lacks side chains"),
    }


TOY = Metric(
    "toy",
    (
        spec("shift", aggregate="mean"),
        spec("pairwise_rmsd", aggregate="median", better="reference", reference_key="md_pairwise_rmsd"),
        spec("md_pairwise_rmsd", aggregate="median", better="reference"),
        spec("rmsf", aggregate="pooled_median", better="reference", reference_key="md_rmsf"),
        spec("md_rmsf", aggregate="pooled_median", better="reference"),
        spec("jaccard", aggregate="median", better="higher", unit=""),
        spec("side_chains", aggregate="median"),
        spec("pairwise_rmsd_r", aggregate="pearson", better="higher", of=("pairwise_rmsd", "md_pairwise_rmsd")),
    ),
    compute,
)


def suite(**changes: object) -> Suite:
    targets = tuple(SuiteTarget(name, sequence) for name, sequence in SEQUENCES.items())
    settings = {
        "id": "toy-v1", "title": "Toy", "split": "test", "family": "toy", "tier": "md-implicit",
        "protocol": "corrected", "energy": None, "samples": 20, "seed": 0, "targets": targets,
    }  # fmt: skip
    return Suite(**(settings | changes))


def identity(model: str = "wobble", **changes: object) -> Identity:
    settings = {
        "model": model, "suite": "toy-v1", "tier": "md-implicit", "targets": tuple(SEQUENCES), "samples": 20,
        "seed": 0, "protocol": "corrected", "energy": None,
        "card": {"name": model, "training": {"overlap": "not_trained"}}, "suite_digest": suite().digest(),
        "references": digests(),
    }  # fmt: skip
    return Identity(**(settings | changes))


@lru_cache
def digests(read=reference) -> dict[str, str]:
    """What the references are, by target."""
    return {name: reference_digest(read(name)) for name in SEQUENCES}


class Maker:
    """A generator that gives what ``make`` makes."""

    def __init__(self, make, options) -> None:
        self.make, self.options = make, options

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        return self.make(target.name, **self.options)


def make_run(
    folder: Path, who: Identity | None = None, *, make=ensemble, metric: Metric = TOY, read=reference, **options
) -> Run:
    """A whole run in this process, by the library's own session; ``options`` go to ``make``."""
    run = Run.open(folder, who or identity(references=digests(read)))
    sequences = {name: SEQUENCES[name] for name in run.identity.targets}
    session = Session(run, read, suite(), sequences, silent, complete=[metric])
    targets, samples = [target(name) for name in sequences], options.get("samples", 20)
    session.keep(
        "sampling",
        sample([Maker(make, options)], targets, samples, 0, run.load_ensemble, run.save_ensemble, "ca"),
    )
    with ThreadPoolExecutor(1) as executor:
        session.score(Selection((metric,), frozenset(spec.key for spec in metric.specs)), executor=executor)
    return run


@cache
def _made() -> TemporaryDirectory:
    made = TemporaryDirectory()
    make_run(Path(made.name) / "run")
    return made


def whole_run(folder: Path) -> Run:
    """A copy of what `make_run` makes of ``folder``, for tests that begin with a run; it takes a tenth of the time."""
    shutil.copytree(Path(_made().name) / "run", folder)
    return Run.read(folder)
