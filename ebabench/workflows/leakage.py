"""Leakage: how similar the targets of a suite are to what a model was trained on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from ebabench.datasets import DEFAULT_SUITE
from ebabench.datasets.suites import Suite, load_suite, suite_ids
from ebabench.errors import InputError
from ebabench.generators.cards import Card, load_card
from ebabench.results.aggregation import Row, summarise
from ebabench.results.runs import Run
from ebabench.scoring.selection import select_metrics
from ebabench.structures.sequence_identity import Similarity, most_similar
from ebabench.system.cache import cache_dir, keep
from ebabench.system.process_pool import workers
from ebabench.system.schema import read_text
from ebabench.workflows.models import model_card
from ebabench.workflows.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

THRESHOLD = 0.3
"""A target of less identity to everything in training counts as unseen: below it, homology is a guess (Rost, Protein
Eng. 12, 85 (1999)). Peptides of four residues are above it whenever two of these fit."""
_VERSION = 1


def leakage(
    model: str | os.PathLike[str] | Card,
    suite: str | Suite = DEFAULT_SUITE,
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the highest sequence identity of every target to the training data that a model's card lists.

    One row per target: ``identity`` (identical residues over the length of the shorter sequence), ``coverage`` (aligned
    residues over that length) and ``nearest``, the training sequence. It is computed once and cached.

    Args:
        model: A name of ``ebabench.list_models()``, the path of a card, or a card.
        suite: The suite.
        jobs: How many processes; one per core by default.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: The card lists no training sequences (``leakage.unlisted``), or names a suite or chain that is not
            here, or a FASTA that cannot be read.

    Example:
        >>> import ebabench
        >>> table = ebabench.leakage("sft", "peptides-v1", jobs=1)
        >>> bool((table["identity"] < 1).all())  # no test peptide was trained on
        True
    """
    import pandas as pd

    found = similarities(model_card(model), load_suite(suite) if isinstance(suite, str) else suite, jobs, progress)
    rows = [
        {"target": name, "identity": one.identity, "coverage": one.coverage, "nearest": one.name}
        for name, one in found.items()
    ]
    return pd.DataFrame(rows).set_index("target")


def similarities(
    card: Card, suite: Suite, jobs: int | None = None, progress: Progress = silent
) -> dict[str, Similarity]:
    """Return the most similar training sequence of every target. Raises InputError as ``leakage`` does."""
    training = training_sequences(card)
    targets = {target.name: target.sequence for target in suite.targets}
    text = json.dumps([_VERSION, targets, training], sort_keys=True)
    path = cache_dir() / "leakage" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {name: Similarity(**kept[name]) for name in targets}
    found: dict[str, Similarity] = {}
    progress("alignments", 0, len(targets))
    with workers(jobs) as pool:
        futures = {pool.submit(partial(most_similar, sequence, training)): name for name, sequence in targets.items()}
        for done, future in enumerate(as_completed(futures), 1):
            found[futures[future]] = future.result()
            progress("alignments", done, len(targets))
    keep(path, json.dumps({name: asdict(one) for name, one in found.items()}))
    return {name: found[name] for name in targets}


def training_sequences(card: Card) -> dict[str, str]:
    """Return the training sequences that a card lists, by name. Raises InputError as ``leakage`` does."""
    listed = card.training.sequences
    if listed is None:
        raise InputError(
            f"{card.name}: its card {card.path} lists no training sequences; [training.sequences] takes suites, a "
            "FASTA or chains",
            code="leakage.unlisted",
            model=card.name,
        )
    found: dict[str, str] = {}
    for name in listed.suites:
        found |= {target.name: target.sequence for target in load_suite(name).targets}
    for file in listed.fasta:
        path = card.path.parent / file
        try:
            found |= read_fasta(read_text(path))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as FASTA: {error}", code="leakage.fasta", file=path) from error
    if listed.chains:
        known = {one.name: one.sequence for name in suite_ids() for one in load_suite(name).targets}
        if absent := [chain for chain in listed.chains if chain not in known]:
            raise InputError(
                f"{card.path}: training.sequences: no suite here has the chains {', '.join(absent[:5])}: list their "
                "sequences in a FASTA",
                code="leakage.chain",
                chain=absent[0],
            )
        found |= {chain: known[chain] for chain in listed.chains}
    return found


def read_fasta(text: str) -> dict[str, str]:
    r"""Return sequences by name, the first word of a header. Raises ValueError for what is no FASTA.

    Example:
        >>> read_fasta(">one chain A\nKLED\nAG\n>two\nWW\n")
        {'one': 'KLEDAG', 'two': 'WW'}
    """
    found: dict[str, list[str]] = {}
    name = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith(">"):
            name = line[1:].split(maxsplit=1)[0] if line[1:].strip() else str(len(found) + 1)
            if name in found:
                raise ValueError(f"{name} is there twice")
            found[name] = []
        elif not name:
            raise ValueError("a sequence without a header")
        elif not line.replace("*", "").isalpha():
            raise ValueError(f"{name}: {line[:20]!r} is no sequence")
        else:
            found[name].append(line.replace("*", "").upper())
    if not found or not all(found.values()):
        raise ValueError("it holds no sequence")
    return {name: _known_letters("".join(parts)) for name, parts in found.items()}


def _known_letters(sequence: str) -> str:
    """The sequence with X for what is none of the twenty amino acids."""
    return "".join(letter if letter in "ACDEFGHIKLMNPQRSTVWY" else "X" for letter in sequence)


def unseen(found: Mapping[str, Similarity], threshold: float = THRESHOLD) -> list[str]:
    """Return the targets whose highest identity is below the threshold."""
    return [name for name, one in found.items() if one.identity < threshold]


@dataclass(frozen=True)
class UnseenRow:
    """A row of a leaderboard at all targets and at those that its model has not seen.

    Attributes:
        model: The model.
        unseen: How many targets are unseen; None where that is not known.
        why: Why it is not known.
        every: The aggregates over all targets.
        at_unseen: Those over unseen targets; empty where it is not known which these are.
    """

    model: str
    unseen: int | None
    why: str
    every: list[Row]
    at_unseen: list[Row]


def unseen_rows(
    suite: Suite,
    runs: Iterable[Run],
    threshold: float = THRESHOLD,
    metrics: Sequence[str] | None = None,
    jobs: int | None = None,
) -> list[UnseenRow]:
    """Return the rows of a leaderboard at all targets and at targets below a threshold of identity to training.

    Args:
        suite: The suite.
        runs: Scored runs of it.
        threshold: Targets of less identity count as unseen.
        metrics: Keys or families; the suite's primary metrics by default.
        jobs: How many processes align; one per core by default.
    """
    asked = metrics or suite.primary or None
    found = []
    for run in runs:
        try:
            card = load_card(run.identity.model)
            if card.training.overlap == "not_trained":
                names = [target.name for target in suite.targets]
            else:
                names = unseen(similarities(card, suite, jobs), threshold)
        except InputError as error:
            found.append(UnseenRow(run.identity.model, None, str(error), at_unseen(run, (), asked)[0], []))
            continue
        found.append(UnseenRow(run.identity.model, len(names), "", *at_unseen(run, names, asked)))
    return found


def at_unseen(run: Run, names: Iterable[str], metrics: Sequence[str] | None = None) -> tuple[list[Row], list[Row]]:
    """Return the aggregates of a run over all its targets, and over some.

    Args:
        run: A scored run.
        names: The targets of the second list.
        metrics: Keys or families; all by default.
    """
    specs, chosen = select_metrics(metrics).specs, set(names)
    records = run.records()
    return summarise(records, specs), summarise([one for one in records if one.target in chosen], specs)
