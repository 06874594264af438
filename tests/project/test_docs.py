"""What README and docs say works as it stands there."""

import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Tiny, ebabench

from ebabench.generators.cards import CARDS, Card
from ebabench.results.leaderboard import FLOOR, short
from ebabench.results.worth import md_time_text, price_text
from ebabench.scoring.metric import METRICS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TUTORIAL = (ROOT / "docs" / "tutorials" / "add-a-model.md").read_text()


def block(page: str, name: str) -> str:
    """The code block after ``<!-- example: NAME -->``."""
    found = re.search(rf"<!-- example: {re.escape(name)} -->\n```\w*\n(.*?)```", page, re.DOTALL)
    assert found, f"there is no example {name}"
    return found[1]


def test_a_model_in_less_than_thirty_lines(tiny: Tiny, tmp_path: Path) -> None:
    files = ("wobble.toml", "wobble_model.py")
    assert sum(len([line for line in block(TUTORIAL, name).splitlines() if line.strip()]) for name in files) < 30
    for name in files:
        (tmp_path / name).write_text(block(TUTORIAL, name))
    program, *arguments = block(TUTORIAL, "command").split()
    assert program == "ebabench"
    done = ebabench(*arguments, *tiny.options, "--jobs", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "runs" / "leaderboards" / "tiny-v1.csv").open(newline="") as file:
        by_model = {row["model"]: row for row in csv.DictReader(file)}
    assert by_model["wobble"]["status"] == "official"
    assert float(by_model["wobble"]["pairwise_rmsd"]) > 0


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_readme_counts_the_cards() -> None:
    assert f"shows {len(list(CARDS))} cards" in README


def test_the_readmes_table_is_the_leaderboards() -> None:
    table = re.search(r"<!-- leaderboard: (\S+) -->\n(.*?)<!-- /leaderboard -->", README, re.DOTALL)
    assert table
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2].strip().splitlines()]
    keys = re.findall(r"`(\w+)`", " ".join(head[1:]))
    with (ROOT / table[1]).open(newline="") as file:
        measured = {line["model"]: line for line in csv.DictReader(file)}
    assert len(rows) == len(measured)
    for name, *cells in rows:
        line = measured[FLOOR if "floor" in name else name.strip("`")]
        texts = {"md_ns": md_time_text(line) or "–", "md_seconds_per_ns": price_text(line) or "–"}
        told = [texts.get(key) or short(line[key]) for key in keys]
        assert cells == told, name


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block(README, "python")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "rmsf_r" in done.stdout


def commands() -> Iterator[tuple[str, ...]]:
    """Every ``ebabench COMMAND [SUBCOMMAND]`` of a code block in README and docs."""
    found = set()
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES):
        for code in re.findall(r"^```\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in re.findall(r"^ebabench (.*)", code, re.MULTILINE):
                words = line.split()
                found.add(tuple(words[: 2 if words[0] in ("fetch", "models", "list") else 1]))
    yield from sorted(found)


def test_the_docs_name_commands_that_there_are(called) -> None:  # type: ignore[no-untyped-def]
    asked = list(commands())
    assert len(asked) > 8
    for words in asked:
        assert called(*words, "--help")[0] == 0, words


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.name)
def test_links_lead_to_files_that_there_are(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_every_page_is_in_the_navigation() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = [page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in PAGES]
    lost = [page for page in pages if page != "index" and "generated" not in page and f"\n{page}\n" not in index]
    assert lost == []


def test_every_metric_says_what_it_means_and_what_it_cannot_see() -> None:
    specs = {spec.key: spec for family in METRICS for spec in METRICS.load(family).specs}
    of_md = {spec.reference_key for spec in specs.values()}
    for key, spec in specs.items():
        assert (bool(spec.means), bool(spec.cannot_see)) == (True, True) or (key in of_md and not spec.means), key
        named = re.findall(r"`(\w+)`", spec.means + spec.cannot_see)
        assert set(named) <= set(specs), f"{key} names metrics that there are not"
        assert (spec.means + spec.cannot_see).count("`") % 2 == 0


def test_the_definitions_of_every_family_are_in_the_docs() -> None:
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    assert [family for family in METRICS if f"generated/metrics-{family}.md" not in text] == []


def test_every_field_of_a_card_is_in_the_docs() -> None:
    text = (ROOT / "docs" / "reference" / "cards.md").read_text()
    environment = Card.model_fields["environment"].annotation
    assert environment is not None
    fields = [*Card.model_fields, *environment.model_fields]  # type: ignore[attr-defined]
    assert [name for name in fields if not re.search(rf"[`\[]{name}[`\]]", text)] == []


def test_every_model_is_in_the_docs_with_the_commit_of_its_card() -> None:
    text = (ROOT / "docs" / "reference" / "models.md").read_text()
    cards = [CARDS.load(name) for name in CARDS]
    assert [card.name for card in cards if f"`{card.name}`" not in text] == []
    for card in cards:
        if card.environment.commit and card.environment.repository:
            source = f"{card.environment.repository.removeprefix('https://github.com/')} {card.environment.commit[:7]}"
            (row,) = (line for line in text.splitlines() if line.startswith("|") and f"`{card.name}`" in line)
            assert source in row
