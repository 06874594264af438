"""A run or a leaderboard is accepted only if it is reproduced; otherwise the reasons say where it departs."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from command import Called, Tiny

import ebabench
from ebabench.datasets.suites import load_suite
from ebabench.errors import InputError, RunError
from ebabench.results.reproduction import differences
from ebabench.results.runs import Run
from ebabench.scoring.metric import Metric, load_metrics
from ebabench.scoring.records import MetricValues, Record
from ebabench.scoring.selection import registered
from ebabench.scoring.spec import MetricSpec
from ebabench.workflows.verify import Verification, _source, verify


@pytest.fixture(scope="module")
def honest(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an official run in ``runs`` and its leaderboard."""
    folder = tmp_path_factory.mktemp("honest")
    with ThreadPoolExecutor(1) as pool:
        ebabench.run(
            "static", str(tiny.suite), data=tiny.data, out=folder / "runs" / "static", leaderboards=folder,
            executor=pool,
        )  # fmt: skip
    return folder


@pytest.fixture
def copy(honest: Path, tmp_path: Path) -> Path:
    shutil.copytree(honest, tmp_path / "copy")
    return tmp_path / "copy"


def checked(folder: Path, tiny: Tiny, **options: object) -> Verification:
    with ThreadPoolExecutor(1) as pool:
        return verify(folder, suite=str(tiny.suite), data=tiny.data, executor=pool, **options)


def refused(found: Verification) -> list[str]:
    return [check.name for check in found.checks if not check.passed]


def edit(run: Path, change: Callable[[Record], Record], target: str = "AGS") -> None:
    """Change a record as a forger would: with a valid seal, and with tables that follow from it."""
    path = run / "records" / f"{target}.json"
    path.write_text(change(Record.from_json(path.read_text())).to_json())


def finish(run: Path, tiny: Tiny) -> None:
    Run.read(run).finish([spec for metric in registered() for spec in metric.specs], load_suite(str(tiny.suite)))


def better(record: Record) -> Record:
    return replace(record, figures=replace(record.figures, values={**record.figures.values, "rmsf_r": 0.99}))


def test_an_honest_run_is_reproduced(honest: Path, tiny: Tiny) -> None:
    found = checked(honest / "runs" / "static", tiny)
    assert found.accepted, found.reasons
    assert list(found.to_frame()["passed"]) == [True] * 7
    found.require()


def test_an_edited_record_is_found_though_its_seal_and_tables_are_right(copy: Path, tiny: Tiny) -> None:
    edit(copy / "runs" / "static", better)
    finish(copy / "runs" / "static", tiny)
    found = checked(copy / "runs" / "static", tiny)
    assert refused(found) == ["records"]
    assert "AGS: rmsf_r is 0.99, recomputed" in found.reasons[0]
    with pytest.raises(RunError) as error:
        found.require()
    assert error.value.code == "verify.refused"


def test_an_edited_floor_is_found(copy: Path, tiny: Tiny) -> None:
    def worse_floor(record: Record) -> Record:
        first, *others = record.floor
        return replace(record, floor=(replace(first, values={**first.values, "js_tic": 1.0}), *others))

    edit(copy / "runs" / "static", worse_floor)
    finish(copy / "runs" / "static", tiny)
    found = checked(copy / "runs" / "static", tiny)
    assert refused(found) == ["records"]
    assert "AGS: floor of replica 1: js_tic is 1, recomputed" in found.reasons[0]


def test_an_edited_table_is_found(copy: Path, tiny: Tiny) -> None:
    table = copy / "runs" / "static" / "summary.csv"
    table.write_text(table.read_text().replace("rmsf_r,", "rmsf_r,1"))
    found = checked(copy / "runs" / "static", tiny)
    assert refused(found) == ["tables"]
    assert "summary.csv" in found.reasons[0]


def test_other_ensembles_than_those_that_were_scored_are_found(copy: Path, tiny: Tiny) -> None:
    run = Run.read(copy / "runs" / "static")
    ensemble = run.load_ensemble("KDE")
    assert ensemble is not None
    run.save_ensemble(replace(ensemble, positions=ensemble.positions + np.float32(0.05) * (ensemble.positions > 1)))
    assert refused(checked(run.folder, tiny)) == ["records"]
    run.ensemble_path("KDE").unlink()
    found = checked(run.folder, tiny)
    assert refused(found) == ["ensembles", "records"]
    assert "KDE" in found.reasons[0]


def test_an_incomplete_run_is_refused(copy: Path, tiny: Tiny) -> None:
    (copy / "runs" / "static" / "records" / "FAV.json").unlink()
    finish(copy / "runs" / "static", tiny)
    found = checked(copy / "runs" / "static", tiny)
    assert refused(found) == ["official"]
    assert "FAV" in found.reasons[0]


@pytest.mark.parametrize(
    ("field", "change", "check"),
    [
        ("card", lambda card: card | {"licence": "MIT, or so"}, "card"),
        ("card", lambda card: {}, "card"),
        ("model", lambda model: "nobody", "card"),
        ("samples", lambda samples: 11, "official"),
        ("protocol", lambda protocol: "alphaflow", "official"),
        ("references", lambda references: references | {"AGS": "0" * 64}, "references"),
        ("references", lambda references: None, "references"),
    ],
)
def test_a_foreign_run_is_refused(
    copy: Path, tiny: Tiny, field: str, change: Callable[[object], object], check: str
) -> None:
    path = copy / "runs" / "static" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["identity"][field] = change(manifest["identity"][field])
    path.write_text(json.dumps(manifest))
    assert check in refused(checked(path.parent, tiny))


def test_other_versions_of_metrics_are_refused_and_not_recomputed(copy: Path, tiny: Tiny) -> None:
    edit(copy / "runs" / "static", lambda one: replace(one, metric_versions={**one.metric_versions, "rmsf_r": 99}))
    found = checked(copy / "runs" / "static", tiny)
    assert {"metrics", "records"} <= set(refused(found))
    assert any("rmsf_r" in reason for reason in found.reasons)


def test_metrics_of_plug_ins_need_not_be_in_a_run(copy: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    key = MetricSpec("theirs", 1, "theirs", "", "lower", "mean", "ca", "none")
    plug_in = Metric("theirs", (key,), lambda pair: {"theirs": 1.0})
    loaded = load_metrics()
    more = replace(loaded, things={**loaded.things, "theirs": plug_in})
    for place in ("verify.load_metrics", "verify.registered"):
        given = more if place.endswith("metrics") else list(more.things.values())
        monkeypatch.setattr(f"ebabench.workflows.{place}", lambda given=given: given)
    found = checked(copy / "runs" / "static", tiny)
    assert found.accepted, found.reasons


def test_ensembles_that_a_card_reads_need_the_card(copy: Path, tiny: Tiny, tmp_path: Path) -> None:
    run = Run.read(copy / "runs" / "static")
    run.identity = replace(run.identity, card={**run.identity.card, "converter": "a:b"})
    with pytest.raises(InputError, match="which is not here"):
        _source(run, None, ["AGS"], lambda name: None, tmp_path)


def test_a_leaderboard_is_reproduced_row_by_row(copy: Path, tiny: Tiny) -> None:
    table, options = copy / "tiny-v1.csv", {"suite": str(tiny.suite), "runs": copy / "runs"}
    found = verify(table, **options)
    assert found.accepted, found.reasons
    head, floor, row = table.read_text().splitlines()
    table.write_text("\n".join([head, floor, row.replace("static", "mine")]) + "\n")
    assert refused(verify(table, **options)) == ["row mine (official)"]
    table.write_text("\n".join([head, floor, row.replace("3/3", "3/4")]) + "\n")
    (reason,) = verify(table, **options).reasons
    assert reason == "row static (official): targets: '3/4', the records give '3/3'"
    table.write_text(f"{head}\n")
    assert not verify(table, **options).accepted  # nothing was checked


def test_published_values_are_those_of_their_file(tmp_path: Path) -> None:
    shipped = Path(ebabench.__path__[0]).parent / "leaderboards" / "atlas-test-v1.csv"
    if not shipped.exists():
        pytest.skip("this is an installation")
    assert verify(shipped, runs=tmp_path).accepted
    edited = tmp_path / "atlas-test-v1.csv"
    edited.write_text(shipped.read_text().replace(",2.61,", ",1.61,", 1))
    assert len(verify(edited, runs=tmp_path).reasons) == 1


def test_a_forged_run_gives_the_row_away_only_by_recomputing(copy: Path, tiny: Tiny) -> None:
    """Rows follow from records: that is all that a CSV can be checked for, so that runs are verified, too."""
    edit(copy / "runs" / "static", better)
    finish(copy / "runs" / "static", tiny)
    assert not verify(copy / "tiny-v1.csv", suite=str(tiny.suite), runs=copy / "runs").accepted


def test_what_is_neither_a_run_nor_a_table_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        verify(tmp_path)
    assert (error.value.code, error.value.named) == ("verify.subject", {"path": tmp_path})


def test_the_command_prints_the_checks_and_exits_with_1_for_a_refusal(copy: Path, tiny: Tiny, called: Called) -> None:
    command = ["leaderboard", "--verify", str(copy / "tiny-v1.csv"), "--suite", str(tiny.suite), "--runs"]
    code, out, _ = called(*command, str(copy / "runs"))
    assert (code, "row static (official)" in out) == (0, True)
    code, _, err = called(*command, str(copy / "nowhere"))
    assert code == 1
    assert "is refused: row (floor) (official): no run folder" in err


SPECS = [spec for metric in registered() for spec in metric.specs if not spec.of]


def record(**values: float) -> Record:
    return Record("AGS", "AGS", "md-implicit", 12, 60, 1.0, {}, MetricValues(values))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"rmsf_r": 0.5}, {"rmsf_r": 0.50001}, True),
        ({"rmsf_r": 0.5}, {"rmsf_r": 0.501}, False),
        ({"energy_js": 0.40}, {"energy_js": 0.41}, True),
        ({"energy_js": 0.40}, {"energy_js": 0.45}, False),
        ({"energy_failed_percent": 0.0}, {"energy_failed_percent": 0.4}, True),
        ({"rmsf_r": float("nan")}, {"rmsf_r": float("nan")}, True),
        ({"rmsf_r": float("nan")}, {"rmsf_r": 0.5}, False),
        ({}, {"rmsf_r": 0.5}, False),
    ],
)
def test_the_rounding_of_another_machine_is_no_difference(
    one: dict[str, float], other: dict[str, float], same: bool
) -> None:
    assert (not list(differences(record(**one), record(**other), SPECS))) == same


def test_every_metric_is_compared() -> None:
    whole = {spec.key: 0.5 for spec in SPECS}
    moved = [spec for spec in SPECS if list(differences(record(**whole), record(**whole | {spec.key: 9.0}), SPECS))]
    assert [asdict(spec) for spec in moved] == [asdict(spec) for spec in SPECS]
    assert all(isinstance(spec, MetricSpec) for spec in moved)
