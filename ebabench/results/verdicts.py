"""Which models of a leaderboard are better than which: pairs of runs, by the primary metrics of the suite."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from ebabench.errors import InputError
from ebabench.results.comparison import compare
from ebabench.results.runs import Run
from ebabench.scoring.spec import MetricSpec


def better_than(runs: Sequence[Run], primary: Sequence[MetricSpec]) -> dict[str, str]:
    """Return for each model those that it is better than, as ``other=3 another=1``: in how many primary metrics.

    p values are adjusted for the number of metrics of a pair (Holm). They are not adjusted for the number of pairs: of
    many equal models, one pair in twenty has a wrong verdict at most. A model of which no pair can be compared is left
    out; one that is better than none has an empty text.

    Args:
        runs: Scored runs of different models on one suite.
        primary: The metrics.
    """
    wins: dict[str, dict[str, int]] = {}
    for one, other in combinations(runs, 2):
        names = one.identity.model, other.identity.model
        try:
            winners = [row.winner for row in compare(one, other, primary)]
        except InputError:  # other samples, other references
            continue
        for name, beaten in (names, names[::-1]):
            count = winners.count(name)
            wins.setdefault(name, {})
            if count:
                wins[name][beaten] = count
    return {name: " ".join(f"{other}={count}" for other, count in sorted(own.items())) for name, own in wins.items()}
