"""The parts of the reference that are made from the code: command line, API, metrics, models and suites."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import ebabench
from ebabench.datasets.suites import SUITES
from ebabench.generators.cards import CARDS
from ebabench.scoring.metric import METRICS

PROJECT: dict[str, Any] = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]

_BEST = {"lower": "lowest", "higher": "highest", "reference": "nearest to MD"}


def write_pages(folder: Path) -> None:
    """Write every generated part as a Markdown file to be included by a page of the reference."""
    folder.mkdir(exist_ok=True)
    for name, text in {
        "cli": _command_line(),
        "api": _public_names(),
        "metrics": _metrics(),
        "models": _models(),
        "suites": _suites(),
        **{f"metrics-{family}": _definitions(family) for family in METRICS},
    }.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def _command_line() -> str:
    command = [sys.executable, "-m", "typer", "ebabench.cli", "utils", "docs", "--name", "ebabench"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return text.partition("\n")[2]


def _public_names() -> str:
    names = sorted((name for name in ebabench.__all__ if not name.startswith("_")), key=str.swapcase)
    kinds = {name: "class" if isinstance(getattr(ebabench, name), type) else "function" for name in names}
    return _directives(f"auto{kind}:: ebabench.{name}" for name, kind in kinds.items())


def _directives(lines: Iterable[str]) -> str:
    body = "".join(f".. {line}\n\n" for line in lines)
    return f"```{{eval-rst}}\n{body}```\n"


def _metrics() -> str:
    text = ""
    for family in METRICS:
        rows = [
            (
                f"`{s.key}`",
                s.title,
                s.unit,
                _BEST[s.better],
                (s.aggregate or "").replace("_", " "),
                s.needs,
                s.version,
                s.paper,
            )
            for s in METRICS.load(family).specs
        ]
        head = ("key", "title", "unit", "best", "over targets", "needs", "version", "source")
        text += f"### {family}\n\n{_table(head, rows)}\n"
    return text


def _definitions(family: str) -> str:
    """What each metric of a family means, and what it cannot see."""
    return "".join(
        f"`{spec.key}`\n: {spec.means}\n\n  *What it cannot see.* {spec.cannot_see}\n\n"
        for spec in METRICS.load(family).specs
        if spec.means
    )


def _models() -> str:
    cards = [CARDS.load(name) for name in CARDS]
    rows = [
        (
            f"`{c.name}`",
            c.title,
            c.environment.kind,
            c.provides,
            c.training.overlap.replace("_", " "),
            c.licence,
            c.paper,
        )
        for c in cards
    ]
    return _table(("model", "title", "runs", "atoms", "overlap with test targets", "licence", "paper"), rows)


def _suites() -> str:
    suites = [SUITES.load(name) for name in SUITES]
    rows = [
        (f"`{s.id}`", s.title, s.split, len(s.targets), s.samples, s.seed, s.tier, s.protocol, s.energy or "none")
        for s in suites
    ]
    return _table(("suite", "title", "split", "targets", "samples", "seed", "tier", "protocol", "energy"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)
