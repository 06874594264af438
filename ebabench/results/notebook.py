"""A result and a run as a notebook shows them: the figures of the site's pages, as HTML that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ebabench.results.charts import fluctuation_chart
from ebabench.results.panels import Fluctuation
from ebabench.results.report import best
from ebabench.results.text import against_floor, family_of, short_summary
from ebabench.results.worth import short

if TYPE_CHECKING:
    from ebabench.results.aggregation import Row
    from ebabench.results.result import Result
    from ebabench.results.runs import Run

_STYLE = """<style>
.ebabench td, .ebabench th { text-align: right; padding: 2px 10px; }
.ebabench :is(td, th):is(:first-child, :last-child) { text-align: left; }
.ebabench svg { width: 460px; max-width: 100%; }
.ebabench svg text { font: 12px sans-serif; fill: currentColor; }
.ebabench svg .axis { stroke: currentColor; fill: none; }
.ebabench svg .grid { stroke: currentColor; stroke-opacity: .15; fill: none; }
.ebabench svg .line { fill: none; stroke-width: 1.8; }
.ebabench svg .line.md { stroke: #78828c; }
.ebabench svg .line.model { stroke: #d95f02; stroke-dasharray: 6 3; }
.ebabench svg .mark.md { fill: #78828c; }
.ebabench svg .mark.model { fill: #d95f02; }
</style>"""


def result_html(result: Result) -> str:
    """Return a result as HTML: the RMSF of model and MD, if it was scored, and every figure with its floor.

    Args:
        result: The result.
    """
    frame, figures = result.to_frame(), result.record.figures
    values, floors = frame["value"].to_dict(), frame["floor"].to_dict()
    rows = [
        (
            spec.key,
            f"{short(values[spec.key])} {spec.unit}",
            short(floors[spec.key]),
            short(figures.values.get(spec.reference_key or "", math.nan)),
            best(spec),
        )
        for spec in result.specs
        if spec.key in values and spec.key not in figures.reasons
    ]
    lacking = [f"{key}: not available: {reason}" for key, reason in result.reasons.items() if key != "floor"]
    floor = f"There is no floor: {result.no_floor}." if result.no_floor else ""
    parts = [_chart(result), _table(("metric", "value", "MD against itself", "MD's own", "best is"), rows)]
    return _page(result.heading, *parts, *(f"<p>{escape(text)}</p>" for text in (floor, *lacking) if text))


def run_html(run: Run) -> str:
    """Return a run as HTML: the figures of the suite's short table, then all, each with interval, floor and verdict.

    Args:
        run: The run.
    """
    identity, rows = run.identity, run.rows
    scored = f"{sum(record.error is None for record in run.records())} of {len(identity.targets)} targets scored"
    head = f"{identity.model} on {identity.suite or identity.folder}: {scored}"
    shown = short_summary(rows, family_of(run))
    everything = f"<details><summary>all {len(rows)} metrics</summary>{_summary(rows, rows)}</details>"
    failed = [f"{target}: {reason}" for target, reason in run.failed.items()]
    note = "MD against itself: one more replica of MD, scored as the model is."
    return _page(head, _summary(rows, shown), everything, *(f"<p>{escape(text)}</p>" for text in (note, *failed)))


def _summary(rows: Sequence[Row], shown: Sequence[Row]) -> str:
    md = {row.spec.key: row.estimate.value for row in rows}
    body = []
    for row in shown:
        found, own = row.estimate, md.get(row.spec.reference_key or "", math.nan)
        span = f"{short(found.low)} to {short(found.high)}" if math.isfinite(found.low) else "–"
        value = f"{short(found.value)} {row.spec.unit}"
        verdict = against_floor(row, own) or "–"
        body.append((row.spec.key, value, span, short(row.floor), short(own), best(row.spec), verdict))
    return _table(("metric", "value", "95 % interval", "MD against itself", "MD's own", "best is", "verdict"), body)


def _chart(result: Result) -> str:
    """The RMSF of the C-alphas; nothing where it was not scored."""
    profiles = result.profiles
    if not {"rmsf", "md_rmsf"} <= set(profiles.columns) or "CA" not in profiles.index.get_level_values("atom"):
        return ""
    ca = profiles.xs("CA", level="atom")
    residues = np.asarray(ca.index.get_level_values("residue"))
    if len(residues) < 2:
        return ""
    own, md = (ca[key].to_numpy(float) for key in ("rmsf", "md_rmsf"))
    drawn = fluctuation_chart(Fluctuation(residues, own, md, np.empty((0, len(residues)))), "model")
    return f"<div>{drawn.svg}<p>{escape(drawn.caption)}</p></div>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(texts: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"

    return f"<table><thead>{line(heads, 'th')}</thead><tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table>"


def _page(head: str, *parts: str) -> str:
    return f'<div class="ebabench">{_STYLE}<h4>{escape(head)}</h4>{"".join(parts)}</div>'
