import pytest
from synthetic_runs import ensemble, identity, make_run, reference

from ebabench.errors import RunError
from ebabench.plots import plot_run
from ebabench.scoring import Job


def test_every_scored_target_has_a_picture(tmp_path):
    run = make_run(tmp_path / "run", identity(energy=None, targets=("one", "two", "three")))
    run.save_record(Job("two", "KLEDFW", "md-implicit", ensemble, reference).failed("torn"))
    paths = plot_run(run, reference)
    assert [path.name for path in paths] == ["one.png", "three.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000 for path in paths)


def test_what_cannot_be_written_says_how_far_it_came(tmp_path):
    run = make_run(tmp_path / "run", identity(energy=None, targets=("one",)))
    (run.folder / "plots").write_text("")
    with pytest.raises(RunError, match="0 pictures are kept"):
        plot_run(run, reference)
