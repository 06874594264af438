"""The scores of one ensemble, as a notebook shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ebabench.results.flags import missing_residues
from ebabench.scoring.records import MetricValues, Record
from ebabench.scoring.spec import MetricSpec
from ebabench.structures import Atoms
from ebabench.structures.arrays import IndexArray

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("metric", "value", "floor", "unit", "better", "title", "reason")


@dataclass(frozen=True, repr=False)
class Result:
    """The scores of one ensemble against a reference.

    Attributes:
        record: The record, as a run folder holds it.
        specs: The metrics that were asked for.
        atoms: The N atoms in common of ensemble and reference.
        residue_index: [R], the index (from 0) in the reference's sequence of every residue of ``atoms``.
        no_floor: Why there is no floor; empty if there is one.
    """

    record: Record
    specs: tuple[MetricSpec, ...]
    atoms: Atoms
    residue_index: IndexArray
    no_floor: str = ""

    @property
    def target(self) -> str:
        """Name of the target."""
        return self.record.target

    @property
    def values(self) -> dict[str, float]:
        """Every number by the key of its metric. NaN where the metric's definition leaves it undefined."""
        return {key: self.record.figures.values[key] for key in self._keys if key in self.record.figures.values}

    @property
    def floor(self) -> dict[str, float]:
        """The same numbers of MD against itself: each replica against the others, mean over replicas.

        It is the score of one more replica: a value as good as its floor is as near to the reference as that one is.
        Empty where there is no floor; ``reasons["floor"]`` says why.
        """
        found = {}
        for key in self._keys:
            values = [replica.values[key] for replica in self.record.floor if key in replica.values]
            if values:
                found[key] = float(np.mean(values))
        return found

    @property
    def reasons(self) -> dict[str, str]:
        """Why a metric is not available, by key; and under ``floor`` why there is no floor."""
        found = {key: self.record.figures.reasons[key] for key in self._keys if key in self.record.figures.reasons}
        return found | ({"floor": self.no_floor} if self.no_floor else {})

    @property
    def profiles(self) -> pd.DataFrame:
        """Values per atom and per residue: one row per atom in common, one column per profile.

        The index is residue (from 1, in the reference's sequence), residue_name and atom. A value per residue stands at
        the residue's C-alpha: ``result.profiles.xs("CA", level="atom")`` has one row per residue.
        """
        import pandas as pd

        index = pd.MultiIndex.from_arrays(
            [self.residue_index[self.atoms.residue] + 1, self.atoms.residue_name, self.atoms.name],
            names=("residue", "residue_name", "atom"),
        )
        profiles = self.record.figures.profiles
        columns = {key: self._by_atom(profiles[key]) for key in self._keys if key in profiles}
        return pd.DataFrame({key: column for key, column in columns.items() if column is not None}, index=index)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per metric: metric, value, floor, unit, better, title, reason.

        The row of a profile has the profile's median.
        """
        import pandas as pd

        return pd.DataFrame([self._row(spec) for spec in self._shown], columns=list(_COLUMNS)).set_index("metric")

    @property
    def heading(self) -> str:
        """What was scored, in one line."""
        record = self.record
        head = f"{record.target}: {record.n_samples} conformations against {record.n_reference_frames} frames of MD"
        return "; ".join(filter(None, (head, missing_residues(record))))

    def __repr__(self) -> str:
        rows = [self._row(spec) for spec in self._shown]
        lines = [("metric", "value", "floor", "unit", "better")]
        lines += [(str(row[0]), _short(row[1]), _short(row[2]), str(row[3]), str(row[4])) for row in rows if not row[6]]
        widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
        table = ["  ".join(_padded(text, width, k) for k, (text, width) in enumerate(zip(line, widths, strict=True)))
                 for line in lines]  # fmt: skip
        lacking: dict[str, list[str]] = {}
        for key, reason in self.reasons.items():
            lacking.setdefault(reason, []).append(key)
        told = [f"not available: {', '.join(keys)} ({reason})" for reason, keys in lacking.items()]
        return "\n".join([self.heading, "", *(line.rstrip() for line in table), *([""] if told else []), *told])

    def _repr_html_(self) -> str:
        from ebabench.results.notebook import result_html

        return result_html(self)

    @property
    def _shown(self) -> list[MetricSpec]:
        """The specs that have a number per target."""
        return [spec for spec in self.specs if not spec.of]

    @property
    def _keys(self) -> list[str]:
        return [spec.key for spec in self._shown]

    def _row(self, spec: MetricSpec) -> tuple[str, float, float, str, str, str, str]:
        value = _middle(self.record.figures, spec.key)
        floors = [_middle(replica, spec.key) for replica in self.record.floor]
        floor = float(np.mean(floors)) if floors else math.nan
        return spec.key, value, floor, spec.unit, spec.better, spec.title, self.record.figures.reasons.get(spec.key, "")

    def _by_atom(self, profile: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
        """A profile as a column over atoms; None for one that is neither per atom nor per residue."""
        if len(profile) == len(self.atoms):
            return np.asarray(profile, np.float64)
        ca = self.atoms.select("CA")
        if len(profile) != len(ca):
            return None
        column = np.full(len(self.atoms), np.nan)
        column[ca] = profile
        return column


def _middle(figures: MetricValues, key: str) -> float:
    numbers = figures.numbers(key)
    return float(np.median(numbers)) if numbers else math.nan


def _short(value: object) -> str:
    number = float(value)  # type: ignore[arg-type]
    return "–" if math.isnan(number) else f"{number:.4g}"


def _padded(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column in (1, 2) else text.ljust(width)
