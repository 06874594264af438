"""The runs of a suite, compared pair by pair once: the board's marks, its ranks and the model pages read these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from itertools import combinations

from ebabench.errors import InputError
from ebabench.results.comparison import SIGNIFICANCE, Difference, compare
from ebabench.results.runs import Run
from ebabench.scoring.spec import MetricSpec


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


def all_pairs(runs: Mapping[str, Run], specs: Sequence[MetricSpec], pool: Executor) -> Pairs:
    """Return the comparison of every two runs.

    Args:
        runs: Runs by model name.
        specs: The metrics; p values are adjusted for their number.
        pool: Does the work.
    """
    found = {(a, b): pool.submit(_compared, runs[a], runs[b], specs) for a, b in combinations(runs, 2)}
    return Pairs({pair: future.result() for pair, future in found.items()})


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
