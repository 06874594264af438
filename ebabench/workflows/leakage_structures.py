"""Leakage by structure: how similar the folds of a suite's targets are to those that a model was trained on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from ebabench.datasets.suites import Suite, load_suite, reference_reader, suite_ids
from ebabench.errors import InputError
from ebabench.generators.cards import Card
from ebabench.structures import Target
from ebabench.structures.structure_similarity import FoldSimilarity, most_similar_fold
from ebabench.system.cache import cache_dir, keep
from ebabench.system.process_pool import workers
from ebabench.workflows.leakage import training_sequences
from ebabench.workflows.progress import Progress, silent

_VERSION = 1


def fold_similarities(
    card: Card,
    suite: Suite,
    data: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> tuple[dict[str, FoldSimilarity], int, int]:
    """Return the most similar training fold of every target whose structure is here, and how many could be compared.

    Structures are the natives of references: of the suite, and of the suites that hold the listed training chains. A
    sequence of a FASTA has none. Results are cached.

    Args:
        card: A card that lists training data.
        suite: The suite.
        data: The folder of the references, where they are not embedded.
        jobs: How many processes; one per core by default.
        progress: Called as ``progress(what, done, total)``.

    Returns:
        The similarities by target; the number of training structures that are here; the number of training sequences.

    Raises:
        InputError: As ``leakage``; or biotite is not installed (``structure.package-missing``).
    """
    listed = training_sequences(card)
    training = _natives(listed, data, [load_suite(name) for name in suite_ids()])
    targets = _natives({target.name: target.sequence for target in suite.targets}, data, [suite])
    known: dict[str, FoldSimilarity] = {}
    paths = {name: _path(target, training) for name, target in targets.items()}
    for name, path in paths.items():
        with suppress(OSError, ValueError, KeyError, TypeError):
            known[name] = FoldSimilarity(**json.loads(path.read_text(encoding="utf-8")))
    lacking = [name for name in targets if name not in known]
    progress("structures", 0, len(lacking))
    with workers(jobs) as pool:
        futures = {pool.submit(partial(most_similar_fold, targets[name], training)): name for name in lacking}
        for done, future in enumerate(as_completed(futures), 1):
            name = futures[future]
            known[name] = future.result()
            if known[name].name:
                keep(paths[name], json.dumps(asdict(known[name])))
            progress("structures", done, len(lacking))
    return {name: known[name] for name in targets}, len(training), len(listed)


def _natives(
    sequences: Mapping[str, str], data: str | os.PathLike[str] | None, suites: Sequence[Suite]
) -> dict[str, Target]:
    """The native structures that are here of sequences, by name."""
    found: dict[str, Target] = {}
    for suite in suites:
        wanted = {one.name for one in suite.targets if sequences.get(one.name) == one.sequence}
        for folder in dict.fromkeys((None, data)) if wanted else ():
            with suppress(InputError):  # the references of this suite are not here
                read = reference_reader(suite, None if folder is None else Path(folder))
                for name in wanted - found.keys():
                    with suppress(InputError):
                        found[name] = read.target(name)
    return {name: found[name] for name in sequences if name in found}


def _path(target: Target, training: dict[str, Target]) -> Path:
    told = hashlib.sha256(json.dumps([_VERSION, sorted(training)]).encode())
    for one in (target, *(training[name] for name in sorted(training))):
        told.update(one.sequence.encode() + np.asarray(one.native, "<f4").tobytes())
    return cache_dir() / "leakage" / f"fold-{told.hexdigest()[:32]}.json"
