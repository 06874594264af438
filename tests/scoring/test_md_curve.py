"""The error of MD by its length, on the embedded MD of one peptide."""

import numpy as np
import pytest

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.errors import InputError
from ebabench.results.md_equivalent import equivalent_time, error, median_time
from ebabench.scoring.md_curve import ErrorCurve, md_curve
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.scoring.records import MetricValues
from ebabench.scoring.score import measure
from ebabench.structures import Ensemble, Reference

FRAME_NS = 0.01
FAMILIES = [METRICS.load("flexibility")]
SPECS = [spec for spec in FAMILIES[0].specs if spec.key in ("rmsf_mae", "dccm_mae", "pairwise_rmsd_mae")]
SAMPLES = 60


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_reader(load_suite("peptides-v1"))("GAPF")


def window(reference: Reference, replica: int, start: int, frames: int) -> Ensemble:
    inside = start + np.linspace(0, frames - 1, min(SAMPLES, frames)).round().astype(int)
    positions = np.asarray(reference.replicas[replica - 1][inside])
    return Ensemble(reference.target.name, reference.target.atoms, positions, held_out=(replica,))


@pytest.fixture(scope="module")
def curve(reference: Reference) -> ErrorCurve:
    pair = make_pair(window(reference, 1, 0, 1001), reference)
    return md_curve(pair, reference, FAMILIES)


def figures(ensemble: Ensemble, reference: Reference) -> MetricValues:
    (found,) = measure(FAMILIES, make_pair(ensemble, reference))
    return found


def test_the_error_of_md_falls_with_its_length(curve: ErrorCurve) -> None:
    lengths = np.array(curve.lengths(FRAME_NS))
    for spec in SPECS:
        errors = np.array([error(spec, item) for item in curve.figures])
        medians = [np.median(errors[lengths == size]) for size in np.unique(lengths)]
        assert medians[0] > 2 * medians[-1]
        assert np.corrcoef(np.log(np.unique(lengths)), np.log(medians))[0, 1] < -0.8


@pytest.mark.slow
def test_a_window_of_md_is_worth_its_length(reference: Reference, curve: ErrorCurve) -> None:
    for frames in (20, 125):
        times = []
        for replica in (1, 2, 3):
            for start in range(0, 1001 - frames, 125):
                found = figures(window(reference, replica, start, frames), reference)
                times += [equivalent_time(spec, found, curve, FRAME_NS) for spec in SPECS]
        middle = median_time(times)
        assert middle.low <= frames * FRAME_NS <= middle.high
        assert middle.nanoseconds == pytest.approx(frames * FRAME_NS, rel=0.4)


def test_more_md_than_there_is_is_a_bound(reference: Reference, curve: ErrorCurve) -> None:
    """A perfect model is better than every window, whose MD is finite."""
    found = {spec.key: 0.0 for spec in SPECS} | {spec.reference_key: 0.0 for spec in SPECS if spec.reference_key}
    for spec in SPECS:
        time = equivalent_time(spec, MetricValues(found), curve, FRAME_NS)
        assert (time.censored, time.nanoseconds) == ("at least", pytest.approx(10.01))


def test_a_curve_is_computed_once(reference: Reference, curve: ErrorCurve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebabench.scoring.md_curve.make_pair", None)
    pair = make_pair(window(reference, 2, 0, 1001), reference)
    assert md_curve(pair, reference, FAMILIES) == curve


def test_one_replica_has_nothing_to_be_judged_against(reference: Reference) -> None:
    single = Reference(reference.target, reference.replicas[:1], reference.tier)
    pair = make_pair(Ensemble("GAPF", reference.target.atoms, np.asarray(reference.replicas[1][:60])), single)
    with pytest.raises(InputError) as refused:
        md_curve(pair, single, FAMILIES)
    assert refused.value.code == "md_curve.one_replica"
