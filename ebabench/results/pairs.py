"""The runs of a suite, compared pair by pair once, and which model leads by that.

Bold cells and marks of all boards, ranks and model pages read these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from itertools import combinations, repeat

from ebabench.errors import InputError
from ebabench.generators.cards import CARDS
from ebabench.results.comparison import SIGNIFICANCE, Difference, compare
from ebabench.results.runs import Run
from ebabench.results.standing import OFFICIAL
from ebabench.scoring.spec import MetricSpec

BASELINE = "baseline"


@dataclass(frozen=True)
class Pairs:
    """Paired differences of every two runs of a suite.

    Attributes:
        differences: (model, model) -> one difference per metric, the first model less the second.
    """

    differences: Mapping[tuple[str, str], tuple[Difference, ...]] = field(default_factory=dict)

    def between(self, a: str, b: str) -> tuple[Difference, ...]:
        """Return the differences, ``a`` less ``b``; none where the two cannot be compared."""
        if (a, b) in self.differences:
            return self.differences[a, b]
        return tuple(map(_turned, self.differences.get((b, a), ())))

    def better(self, key: str, a: str, b: str) -> str:
        """Return which of two models is better in one metric by its own paired test at 5 %; empty if neither is.

        The p value is not adjusted: the question is about one metric.
        """
        found = next((item for item in self.between(a, b) if item.spec.key == key), None)
        return singly(found) if found is not None else ""

    def tested(self, a: str, b: str) -> bool:
        """Return whether two models were compared."""
        return bool(self.between(a, b))

    def best(self, key: str, losses: Mapping[str, float]) -> str:
        """Return the model that is better in one metric than every other, each by the paired test; empty if none is.

        Args:
            key: The metric.
            losses: How far from the best each ranked model is. One that was not compared leaves no model the best.
        """
        leader = min(losses, key=losses.__getitem__, default="")
        others = [name for name in losses if name != leader]
        return leader if others and all(self.better(key, leader, other) == leader for other in others) else ""

    def leading(self, key: str, losses: Mapping[str, float]) -> list[str]:
        """Return the compared model with the best value, and those that the test does not tell from it.

        Args:
            key: The metric.
            losses: How far from the best each ranked model is.
        """
        tested = [name for name in losses if any(self.tested(name, other) for other in losses if other != name)]
        if not tested:
            return []
        leader = min(tested, key=losses.__getitem__)
        return [name for name in tested if name == leader or not self.better(key, leader, name)]


@dataclass(frozen=True)
class Ranking:
    """The models of a board that are ranked, and their runs compared with each other.

    Attributes:
        models: Their names, also of those without a run.
        pairs: What was compared.
    """

    models: frozenset[str] = frozenset()
    pairs: Pairs = field(default_factory=Pairs)


def singly(one: Difference) -> str:
    """Return the model that is better by the paired test of one metric by itself, at 5 %; empty if neither is."""
    return one.leader if one.p <= SIGNIFICANCE else ""


def wins(differences: Sequence[Difference], a: str, b: str) -> tuple[int, int]:
    """Return in how many metrics, each by itself, ``a`` is better, and in how many ``b`` is."""
    better = [singly(one) for one in differences]
    return better.count(a), better.count(b)


def too_few(differences: Sequence[Difference]) -> int:
    """Return the number of targets if it is too small for any adjusted p value of at most 5 %; else 0.

    The smallest p value of an exact paired permutation test of n targets is 2 / 2^n.
    """
    most = max((one.n_targets for one in differences), default=0)
    return most if len(differences) * 2.0 ** (1 - most) > SIGNIFICANCE else 0


def is_ranked(status: str, family: str) -> bool:
    """Return whether a row takes part in the ranking: official rows do, but those of baselines and of MD.

    Args:
        status: That of the row.
        family: The family of its model (``card_family``).
    """
    return status == OFFICIAL and family != BASELINE


def card_family(model: str, runs: Mapping[str, Run]) -> str:
    """Return the family of a model, by the card of its run, else by the card of that name; empty where there is none.

    Args:
        model: Its name.
        runs: Runs by model name.
    """
    told = str(runs[model].identity.card.get("family", "")) if model in runs else ""
    return told or (CARDS.load(model).family if model in CARDS else "")


def all_pairs(runs: Mapping[str, Run], specs: Sequence[MetricSpec], pool: Executor | None = None) -> Pairs:
    """Return the comparison of every two runs.

    Args:
        runs: Runs by model name.
        specs: The metrics; p values are adjusted for their number.
        pool: Does the work; this process by default.
    """
    names = list(combinations(runs, 2))
    each = map if pool is None else pool.map
    found = each(_compared, [runs[a] for a, _ in names], [runs[b] for _, b in names], repeat(tuple(specs)))
    return Pairs(dict(zip(names, found, strict=True)))


def _compared(a: Run, b: Run, specs: Sequence[MetricSpec]) -> tuple[Difference, ...]:
    try:
        return tuple(compare(a, b, specs))
    except InputError:
        return ()


def _turned(one: Difference) -> Difference:
    return replace(
        one,
        a=one.b,
        b=one.a,
        difference=-one.difference,
        low=-one.high,
        high=-one.low,
        own=tuple(-value for value in one.own),
    )
