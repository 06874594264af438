"""Names: found lazily, corrected when misspelt, added by outsiders."""

import importlib
import sys
from pathlib import Path

import pytest

from ebabench.datasets.suites import load_suite, suite_ids
from ebabench.errors import InputError
from ebabench.generators.cards import CARDS, load_card
from ebabench.scoring.metric import METRICS
from ebabench.system.registry import Registry, resolve


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution ``theirs`` that adds a model and tries to replace one."""
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").write_text("SECRET = 42\n")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ebabench.generators]\ntheir-model = their_package\nstatic = their_package\n"
        "[ebabench.metrics]\ntheir-metrics = their_package:SECRET\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "their_package", raising=False)
    importlib.invalidate_caches()
    return package


def test_a_registry_loads_only_what_is_asked_for() -> None:
    loaded = []
    registry: Registry[str] = Registry(
        "thing", "nobody.things", lambda: {"a": "x:y", "b": "no.such:thing"}, loaded_by(loaded)
    )
    assert list(registry) == ["a", "b"]
    assert not loaded
    assert registry.load("a") == "a at x:y"
    assert loaded == ["a"]


def loaded_by(loaded: list[str]):
    def load(name: str, location: str) -> str:
        loaded.append(name)
        return f"{name} at {location}"

    return load


@pytest.mark.parametrize(
    ("load", "name", "kind", "meant"),
    [
        (load_card, "statik", "model", "static"),
        (load_card, "md_replica", "model", "md-replica"),
        (load_suite, "peptide-v1", "suite", "peptides-v1"),
        (METRICS.load, "flexibilty", "metric", "flexibility"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(load, name: str, kind: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"unknown {kind} '{name}'; did you mean .*{meant}"):
        load(name)


def test_what_cannot_be_imported_says_why() -> None:
    with pytest.raises(InputError, match=r"no\.such\.module:thing.*No module named 'no'"):
        resolve("no.such.module:thing")
    with pytest.raises(InputError, match="nothing"):
        resolve("ebabench.errors:nothing")


def test_outsiders_add_names_but_do_not_replace_any(plugin: Path) -> None:
    assert "their-model" in CARDS
    assert METRICS.load("their-metrics") == 42
    assert CARDS.load("static").entry == "ebabench.models.static:build"
    card = CARDS.load("static").path.read_text().replace('"static"', '"their-model"')
    (plugin / "their-model.toml").write_text(card)
    assert CARDS.load("their-model").title == CARDS.load("static").title


def test_a_plugin_without_its_card_says_so(plugin: Path) -> None:
    with pytest.raises(InputError, match=r"their-model\.toml: No such file"):
        CARDS.load("their-model")


def test_all_suites_and_all_cards_of_the_project_load() -> None:
    assert {"peptides-v1", "peptides-val-v1", "peptides-train-v1"} <= set(suite_ids())
    assert all(load_suite(name).id == name for name in suite_ids())
    assert all(load_card(name).name == name for name in CARDS)
