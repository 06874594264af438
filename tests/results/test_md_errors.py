"""Errors of the finite MD in a run folder."""

import math

from synthetic_runs import whole_run

from ebabench.results.md_errors import FILE, MdError, read_errors, write_errors


def test_errors_are_read_as_they_were_written(tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))
    run = whole_run(tmp_path / "run")
    errors = {"one": MdError({"shift": 0.1}, "LYS1 chi2", 0.5, 12.0), "two": MdError({"shift": math.nan})}
    write_errors(run, errors)
    found = read_errors(run)
    assert found["one"] == errors["one"]
    assert math.isnan(found["two"].errors["shift"])
    assert math.isnan(found["two"].independent_samples)
    run.remove_record("three")
    assert read_errors(run) == {}
    (run.folder / FILE).write_text("[]")
    assert read_errors(run) == {}
