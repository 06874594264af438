import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from synthetic_runs import TOY, compute, ensemble, reference, spec, spread

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.errors import InputError, RunError
from ebabench.io.xtc import XtcFrames
from ebabench.metrics import FAMILIES
from ebabench.results.flags import marks
from ebabench.scoring import noise_floor as floor
from ebabench.scoring.metric import METRICS, Guarded, Metric
from ebabench.scoring.records import MetricValues, Record
from ebabench.scoring.reference_cache import reference_digest
from ebabench.scoring.score import Job, score, score_target
from ebabench.scoring.spec import Approximation
from ebabench.structures import Reference
from ebabench.system.process_pool import WorkerDiedError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


def job(name, make=ensemble):
    return Job(name, reference(name).target.sequence, "md-implicit", partial(make, name), partial(reference, name))


def broken(name):
    raise ValueError(f"{name} cannot be read")


def boundless(name):
    np.empty((10**8, 10**8))


def deadly(name):
    os._exit(1)


def test_a_record_says_what_was_scored():
    record = score_target(ensemble("one"), reference("one"), [TOY])
    assert (record.target, record.sequence, record.tier) == ("one", "AGSTVL", "md-implicit")
    assert (record.n_samples, record.n_reference_frames, record.coverage) == (20, 180, 1.0)
    assert record.metric_versions == {spec.key: 1 for spec in TOY.specs}
    assert record.figures.reasons == {"side_chains": "the model lacks side chains"}
    assert len(record.figures.profiles["rmsf"]) == 6
    assert record.error is None


def test_a_record_survives_json_to_the_byte():
    record = score_target(ensemble("two"), reference("two"), [TOY])
    assert math.isnan(record.figures.values["jaccard"])
    text = record.to_json()
    assert "NaN" not in text
    assert Record.from_json(text).to_json() == text
    back = Record.from_json(text)
    assert back.figures.profiles == record.figures.profiles
    assert math.isnan(back.figures.values["jaccard"])
    assert math.isnan(Record.from_json(job("one").failed("no").to_json()).coverage)


def test_the_notes_of_both_sides_are_kept_and_are_flags():
    model, md = ensemble("one"), reference("one")
    record = score_target(replace(model, notes=("SEP 3 as SER",)), replace(md, notes=("TPO 4 as THR",)), [TOY])
    assert record.notes == ("SEP 3 as SER", "reference: TPO 4 as THR")
    assert Record.from_json(record.to_json()).notes == record.notes
    assert set(record.notes) <= set(marks(record))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"figures": {}, "floor": []}'])
def test_what_is_not_a_record_is_refused(text):
    with pytest.raises(ValueError, match=r"record|Expecting|unexpected"):
        Record.from_json(text)


def test_an_infinite_number_is_not_available():
    figures = MetricValues.of({"a": math.inf, "b": np.array([1.0, -math.inf]), "c": 1.0})
    assert set(figures.reasons) == {"a", "b"}
    assert figures.values == {"c": 1.0}


def test_the_floor_is_each_replica_against_the_others():
    md = reference("one")
    record = score_target(ensemble("one"), md, [TOY])
    assert len(record.floor) == 3
    every_third = np.linspace(0, 59, 20).round().astype(int)
    for number, floor_figures in enumerate(record.floor, 1):
        model = replace(ensemble("one"), positions=md.replicas[number - 1][every_third], held_out=(number,))
        alone = score_target(model, md, [TOY], with_floor=False)
        assert floor_figures == alone.figures
        assert alone.n_reference_frames == 120


def test_a_single_replica_has_no_floor():
    assert score_target(ensemble("one"), reference("one", replicas=1), [TOY]).floor == ()


def test_the_floor_has_the_models_atoms():
    whole = ensemble("one")
    fewer = replace(whole, atoms=whole.atoms.take(np.arange(5)), positions=whole.positions[:, :5])
    record = score_target(fewer, reference("one"), [TOY])
    assert record.coverage == pytest.approx(5 / 6)
    assert [len(figures.profiles["rmsf"]) for figures in record.floor] == [5, 5, 5]


def test_missing_residues_are_counted_and_are_a_flag():
    whole = ensemble("one")
    fewer = replace(whole, atoms=whole.atoms.take(np.arange(4)), positions=whole.positions[:, :4])
    record = score_target(fewer, reference("one"), [TOY])
    assert Record.from_json(record.to_json()).missing_residues == 2
    assert "2 of 6 residues are missing" in marks(record)
    assert "missing" not in score_target(whole, reference("one"), [TOY]).to_json()  # as in earlier versions


def counted(calls, pair):
    calls.append(pair.target)
    return compute(pair)


def test_the_floor_is_computed_once_for_all_models():
    calls = []
    metric = Metric("toy", TOY.specs, partial(counted, calls))
    first = score_target(ensemble("one", seed=1), reference("one"), [metric])
    assert len(calls) == 4
    second = score_target(ensemble("one", seed=2), reference("one"), [metric])
    assert len(calls) == 5
    assert first.floor == second.floor
    newer = Metric("toy", tuple(replace(spec, version=2) for spec in TOY.specs), metric.compute)
    score_target(ensemble("one", seed=2), reference("one"), [newer])
    assert len(calls) == 9
    score_target(ensemble("one", samples=21), reference("one"), [metric])
    assert len(calls) == 13
    score_target(ensemble("one"), reference("one", frames=61), [metric])
    assert len(calls) == 17


def test_a_damaged_or_unwritable_cache_costs_time_only(tmp_path, monkeypatch):
    before = score_target(ensemble("one"), reference("one"), [TOY])
    (cached,) = (tmp_path / "cache" / "floor").iterdir()
    kept = cached.read_text()
    edited = json.loads(kept)
    edited["floor"][0]["values"]["shift"] = 0.0
    for text in (kept[:50], json.dumps(edited, sort_keys=True)):
        cached.write_text(text)
        assert score_target(ensemble("one"), reference("one"), [TOY]) == before
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("EBABENCH_CACHE", str(blocked))
    assert score_target(ensemble("one"), reference("one"), [TOY]) == before


def test_a_packaged_floor_is_used(tmp_path, monkeypatch):
    before = score_target(ensemble("one"), reference("one"), [TOY])
    monkeypatch.setattr(floor, "_PACKAGED", tmp_path / "cache" / "floor")
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "fresh"))
    calls = []
    metric = Metric("toy", TOY.specs, partial(counted, calls))
    assert score_target(ensemble("one"), reference("one"), [metric]) == before
    assert len(calls) == 1


def test_one_failed_target_is_one_failed_record():
    jobs = [job("one"), job("two", broken), job("three")]
    with ThreadPoolExecutor(1) as executor:
        records = {record.target: record for record in score(jobs, [TOY], executor=executor)}
    assert records["two"].error == "ValueError: two cannot be read"
    assert records["two"].figures == MetricValues()
    assert records["one"].error is None
    assert records["three"].error is None


def test_where_memory_runs_out_the_target_fails_with_that_reason_and_the_others_go_on():
    jobs = [job("one"), job("two", boundless), job("three")]
    with ThreadPoolExecutor(1) as executor:
        records = {record.target: record for record in score(jobs, [TOY], executor=executor)}
    assert records["two"].error.startswith("memory ran out: ")
    assert records["one"].error is None
    assert records["three"].error is None


class Dying(ThreadPoolExecutor):
    """An executor whose workers die of the second target."""

    def submit(self, fn, job):
        return super().submit(died) if job.target == "two" else super().submit(fn, job)


def died():
    raise WorkerDiedError("3 workers died of it")


def test_a_target_that_kills_the_workers_of_an_executor_is_one_failed_record():
    jobs = [job("one"), job("two"), job("three")]
    with Dying(1) as executor:
        records = {record.target: record for record in score(jobs, [TOY], executor=executor)}
    assert "died" in records["two"].error
    assert records["one"].error is None
    assert records["three"].error is None


@pytest.mark.slow
def test_processes_give_the_same_records_as_this_one_and_survive_a_death():
    jobs = [job("one"), job("two", deadly), job("three")]
    records = {record.target: record for record in score(jobs, [TOY], processes=2)}
    assert "died" in records["two"].error
    for name in ("one", "three"):
        assert records[name].to_json() == score_target(ensemble(name), reference(name), [TOY]).to_json()


def test_a_metric_that_breaks_its_contract_is_named():
    lazy = Metric("lazy", TOY.specs, lambda pair: {"shift": spread(pair.model_ca)})
    with pytest.raises(RunError, match=r"'lazy' gave no pairwise_rmsd"):
        score_target(ensemble("one"), reference("one"), [lazy])


@pytest.mark.parametrize(
    "value",
    [None, "1.5", 1 + 2j, np.array([1.0, 2j]), {"a": 1.0}, [[1.0], [1.0, 2.0]], object(), Approximation(1.0, None)],
)
def test_a_value_that_is_no_real_number_is_refused_and_of_a_plugin_not_available(value):
    metric = Metric("odd", TOY.specs[:1], lambda pair: {"shift": value})
    with pytest.raises(RunError) as error:
        score_target(ensemble("one"), reference("one"), [metric])
    assert error.value.code == "metric.value"
    figures = score_target(ensemble("one"), reference("one"), [replace(metric, compute=Guarded(metric))]).figures
    assert "'odd'" in figures.reasons["shift"]
    assert not figures.values


def answering(answer):
    return Metric("mine", (spec("first"), spec("second")), lambda pair: answer)


@pytest.mark.parametrize(
    "answer",
    [
        1.0,
        {"first": 1.0},
        {"first": 1.0, "second": 2.0, "third": 3.0},
        {"first": 1.0, "second": np.zeros(7)},
        {"first": 1.0, "second": np.zeros((6, 3))},
        {"first": 1.0, "second": "2"},
    ],
)
def test_a_family_that_does_not_give_what_its_specs_say_is_named(answer):
    with pytest.raises(RunError, match="the metrics 'mine' gave"):
        score_target(ensemble("one"), reference("one"), [answering(answer)])


def test_a_family_that_fails_is_named():
    failing = Metric("mine", (spec("first"),), lambda pair: {"first": 1 / 0})
    with pytest.raises(RunError, match="the metrics 'mine' failed: ZeroDivisionError"):
        score_target(ensemble("one"), reference("one"), [failing])


@pytest.mark.parametrize(
    "name", ["model", "model_as_read", "model_ca", "native", "native_ca", "md_ca", "md_rmsf", "md_draw"]
)
def test_no_metric_changes_what_others_read(name):
    def write(pair):
        array = getattr(pair, name)
        array *= 2

    with pytest.raises(RunError, match=r"'mine' failed: ValueError: .*read-only"):
        score_target(ensemble("one"), reference("one"), [Metric("mine", (spec("first"),), write)])


def test_no_metric_changes_the_reference_and_its_owner_still_can():
    def write(pair):
        pair.reference.replicas[0][:] = 0

    md = reference("one")
    with pytest.raises(RunError, match="read-only"):
        score_target(ensemble("one"), md, [Metric("mine", (spec("first"),), write)])
    md.replicas[0][:] = 0


@pytest.mark.parametrize(
    "change",
    [
        {"better": "least"},
        {"aggregate": "mode"},
        {"needs": "sidechains"},
        {"key": "End to end"},
        {"key": ""},
        {"version": 0},
        {"version": 1.5},
        {"of": "rmsf"},
        {"default_view": "protein"},
    ],
)
def test_a_spec_has_only_what_the_tables_can_show(change):
    with pytest.raises(InputError) as error:
        spec(**({"key": "mine"} | change))
    assert error.value.code == "metric.spec"
    assert str(next(iter(change.values()))) in str(error.value)


@pytest.mark.parametrize(
    ("specs", "function"), [(spec("a"), compute), ((), compute), (("a",), compute), ((spec("a"),), 1)]
)
def test_a_family_has_specs_and_a_function(specs, function):
    with pytest.raises(InputError, match="the metrics 'mine': specs is a tuple"):
        Metric("mine", specs, function)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.array([1.0, np.inf]), Approximation(np.inf, 1.0)])
def test_an_infinite_value_is_not_available(value):
    metric = Metric("odd", TOY.specs[:1], lambda pair: {"shift": value})
    record = score_target(ensemble("one"), reference("one"), [metric])
    assert "infinite" in record.figures.reasons["shift"]
    assert Record.from_json(record.to_json()) == record


def test_a_model_of_another_sequence_is_refused():
    with pytest.raises(InputError, match="sequence"):
        score_target(ensemble("two"), reference("one"), [TOY])


def test_a_model_made_of_every_replica_is_refused():
    with pytest.raises(InputError, match="no reference replica is left"):
        score_target(replace(ensemble("one"), held_out=(1, 2, 3)), reference("one"), [TOY])


def test_only_frames_of_a_replica_are_held_out_of_it():
    with pytest.raises(InputError, match="20 conformations are no frames of them") as raised:
        score_target(replace(ensemble("one"), held_out=(1,)), reference("one"), [TOY])
    assert raised.value.code == "ensemble.held-out"


def test_a_trajectory_on_disk_is_read_once_for_its_digest_and_again_when_it_changed(tmp_path, monkeypatch):
    from mdtraj.formats import XTCTrajectoryFile

    def write(seed):
        with XTCTrajectoryFile(str(tmp_path / "x.xtc"), "w") as file:
            file.write(ensemble("one", seed=seed).positions / 10)

    def now():
        frames = XtcFrames(tmp_path / "x.xtc", 6, np.arange(6))
        return reference_digest(Reference(reference("one").target, (frames,), "test"))

    read = []
    digest = XtcFrames.digest
    monkeypatch.setattr(XtcFrames, "digest", lambda self: read.append(1) or digest(self))
    write(0)
    size = (tmp_path / "x.xtc").stat().st_size
    before = now()
    assert now() == before
    assert len(read) == 1
    write(1)
    assert (tmp_path / "x.xtc").stat().st_size == size
    assert now() != before
    write(0)
    assert now() == before


@pytest.mark.skipif(not floor._PACKAGED.exists(), reason="no floor is shipped")
def test_the_shipped_floor_is_that_of_todays_metrics_and_nothing_else():
    expected = set()
    for chosen in map(load_suite, ("peptides-v1", "peptides-v2")):
        read = reference_reader(chosen)
        for target in chosen.targets:
            md = read(target.name)
            digests = reference_digest(md), md.target.atoms.digest()
            for family in FAMILIES:
                metric = METRICS.load(family)
                key = floor.floor_key(*digests, chosen.samples, metric, chosen.protocol, chosen.energy)
                expected.add(f"{key}.json")
    assert {path.name for path in floor._PACKAGED.iterdir()} == expected, "see docs/explanation/noise-floor.md"
