"""What README and docs say works as it stands there."""

import csv
import re
from pathlib import Path

import pytest
from command import Tiny, ebabench

from ebabench.generators.cards import CARDS
from ebabench.scoring.metric import METRICS

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(name: str) -> str:
    """The code block after ``<!-- example: NAME -->``."""
    found = re.search(rf"<!-- example: {re.escape(name)} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert found, f"README has no example {name}"
    return found[1]


def test_a_model_in_less_than_thirty_lines(tiny: Tiny, tmp_path: Path) -> None:
    files = ("wobble.toml", "wobble_model.py")
    assert sum(len([line for line in block(name).splitlines() if line.strip()]) for name in files) < 30
    for name in files:
        (tmp_path / name).write_text(block(name))
    program, *arguments = block("command").split()
    assert program == "ebabench"
    done = ebabench(*arguments, *tiny.options, "--jobs", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "leaderboards" / "tiny-v1.csv").open(newline="") as file:
        by_model = {row["model"]: row for row in csv.DictReader(file)}
    assert by_model["wobble"]["status"] == "official"
    assert float(by_model["wobble"]["pairwise_rmsd"]) > 0


@pytest.mark.parametrize("command", re.findall(r"^ebabench (\w+)", README, re.MULTILINE))
def test_readme_names_commands_that_there_are(command: str, tmp_path: Path) -> None:
    assert ebabench(command, "--help", cwd=tmp_path).returncode == 0


def test_readme_points_at_files_that_there_are() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (Path(__file__).parents[2] / target).exists(), target


def test_every_metric_is_defined_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()
    keys = [spec.key for family in METRICS for spec in METRICS.load(family).specs]
    assert [key for key in keys if f"`{key}`" not in text and not key.startswith("md_")] == []


def test_every_model_is_in_the_docs_with_the_commit_of_its_card() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "models.md").read_text()
    cards = [CARDS.load(name) for name in CARDS]
    assert [card.name for card in cards if f"`{card.name}`" not in text] == []
    for card in cards:
        if card.environment.commit and card.environment.repository:
            source = f"{card.environment.repository.removeprefix('https://github.com/')} {card.environment.commit[:7]}"
            (row,) = (line for line in text.splitlines() if line.startswith("|") and f"`{card.name}`" in line)
            assert source in row
