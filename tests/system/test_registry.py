"""Names: found lazily, corrected when misspelt, added by outsiders."""

import importlib
import sys
from pathlib import Path

import pytest
from synthetic_runs import TOY, ensemble, reference

from ebabench.datasets.suites import load_suite, suite_ids
from ebabench.errors import InputError, RunError
from ebabench.generators.cards import CARDS, load_card
from ebabench.scoring.metric import METRICS, Metric, load_metrics
from ebabench.scoring.score import score_target
from ebabench.system.registry import Registry, cause, resolve

MODULE = """
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec

def spec(key):
    return MetricSpec(key, 1, key, "", "lower", "mean", "ca", "")

def fail(pair):
    raise ZeroDivisionError("no such luck")

SECRET = 42
METRIC = Metric("their-metrics", (spec("their_key"),), lambda pair: {"their_key": 1.0})
REPLACING = Metric("replacing", (spec("rmsf_r"),), lambda pair: {"rmsf_r": 1.0})
FAILING = Metric("failing", (spec("failing_key"),), fail)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution ``theirs`` that adds a model and tries to replace one."""
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").write_text(MODULE)
    (package / "raising.py").write_text("raise ZeroDivisionError('at import')\n")
    (package / "leaving.py").write_text("import sys\nsys.exit(0)\n")
    distribution(
        tmp_path,
        "theirs",
        "[ebabench.generators]\ntheir-model = their_package\nstatic = their_package\n"
        "[ebabench.metrics]\ntheir-metrics = their_package:METRIC\nsecret = their_package:SECRET\n"
        "replacing = their_package:REPLACING\nfailing = their_package:FAILING\n"
        "raising = their_package.raising:METRIC\nleaving = their_package.leaving:METRIC\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "their_package"]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    return package


def distribution(folder: Path, name: str, entry_points: str) -> None:
    """What pip leaves of an installed distribution."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


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
    assert [spec.key for spec in METRICS.load("their-metrics").specs] == ["their_key"]
    assert CARDS.load("static").entry == "ebabench.models.static:build"
    card = CARDS.load("static").path.read_text().replace('"static"', '"their-model"')
    (plugin / "their-model.toml").write_text(card)
    assert CARDS.load("their-model").title == CARDS.load("static").title


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("secret", "plugin.type"),
        ("replacing", "metric.key_taken"),
        ("raising", "plugin.import"),
        ("leaving", "plugin.import"),
    ],
)
def test_a_bad_plugin_is_reported_and_breaks_no_other(plugin: Path, name: str, code: str) -> None:
    loaded = load_metrics()
    assert loaded.faults[name].code == code
    assert name not in loaded.things
    assert "their-metrics" in loaded.things
    keys = [spec.key for metric in loaded.things.values() for spec in metric.specs]
    assert keys.count("rmsf_r") == 1
    assert loaded.things["flexibility"].compute is METRICS.load("flexibility").compute


def test_figures_of_a_plugin_that_raises_are_not_available(plugin: Path) -> None:
    failing = load_metrics().things["failing"]
    found = score_target(ensemble("one"), reference("one"), [TOY, failing]).figures
    assert "no such luck" in found.reasons["failing_key"]
    assert found.values == score_target(ensemble("one"), reference("one"), [TOY]).figures.values


def test_a_family_may_only_give_the_keys_of_its_specs() -> None:
    more = Metric("more", TOY.specs[:1], lambda pair: {"shift": 1.0, "rmsf_r": 1.0})
    with pytest.raises(RunError, match="rmsf_r"):
        score_target(ensemble("one"), reference("one"), [more])


def test_two_plugins_of_one_name_are_told_apart_by_nobody(plugin: Path) -> None:
    distribution(plugin.parent, "others", "[ebabench.metrics]\ntheir-metrics = their_package:SECRET\n")
    importlib.invalidate_caches()
    with pytest.raises(InputError) as raised:
        METRICS.load("their-metrics")
    assert raised.value.code == "plugin.ambiguous"
    assert "others and theirs" in str(raised.value)


def test_a_card_of_ones_own_cannot_take_the_name_of_a_registered_model(tmp_path: Path) -> None:
    own = tmp_path / "static.toml"
    own.write_text(CARDS.load("static").path.read_text())
    with pytest.raises(InputError) as raised:
        load_card(str(own))
    assert raised.value.code == "model.name_taken"
    assert load_card(str(CARDS.load("static").path)).name == "static"


def test_a_plugin_without_its_card_says_so(plugin: Path) -> None:
    with pytest.raises(InputError, match=r"their-model\.toml: No such file"):
        CARDS.load("their-model")


def test_all_suites_and_all_cards_of_the_project_load() -> None:
    assert {"peptides-v1", "peptides-val-v1", "peptides-train-v1"} <= set(suite_ids())
    assert all(load_suite(name).id == name for name in suite_ids())
    assert all(load_card(name).name == name for name in CARDS)


def test_an_interruption_of_a_compiled_function_is_no_failure_of_its_caller() -> None:
    """Numba passes a KeyboardInterrupt on as the cause of a SystemError, which is an Exception."""
    error = SystemError("returned a result with an exception set")
    error.__cause__ = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        cause(error)
