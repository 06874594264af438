"""Free-energy surfaces against closed forms and against the resampling that they are the limit of."""

import numpy as np
import pytest

from ebabench.metrics.free_energy import BINS, CUTOFF, KT, NOISE, RESAMPLED, smoothed, surface, surface_error


def wells(left: int, right: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((left + right, 2)) * 0.3 + np.repeat([[-2.0, 0.0], [2.0, 0.0]], [left, right], 0)


def test_md_has_no_error_against_itself():
    md = wells(500, 500, 0)
    assert surface_error(surface(md), md) == (0, 0, 1)


def test_a_smoothed_cloud_has_all_its_mass_on_a_grid_that_holds_it():
    points = wells(300, 100, 0)
    edges = np.linspace([-9, -9], [9, 9], 60).T
    density = smoothed(points, edges)
    assert density.sum() == pytest.approx(1)
    centers = (edges[:, 1:] + edges[:, :-1]) / 2
    assert density.sum(1) @ centers[0] == pytest.approx(points[:, 0].mean(), abs=1e-3)
    variance = density.sum(1) @ (centers[0] - points[:, 0].mean()) ** 2
    assert variance == pytest.approx(points[:, 0].var() + NOISE**2, rel=0.01)


def test_the_error_of_two_wells_is_that_of_their_free_energy_difference():
    """MD has the wells half and half, the model nine to one: away by kT ln 9, about the median of both."""
    md, model = wells(4000, 4000, 0), wells(7200, 800, 0)
    md[:, 1] = model[:, 1] = np.random.default_rng(1).normal(0, 0.3, 8000)
    model[:, 0] = np.concatenate([np.resize(md[:4000, 0], 7200), md[4000:4800, 0]])
    found = surface_error(surface(md), model)
    # Bins of either well differ by a constant; the best shift leaves half of kT ln 9 on average.
    assert found.rmse == pytest.approx(KT * np.log(9) / 2, rel=0.15)
    assert found.mae == pytest.approx(KT * np.log(9) / 2, rel=0.2)
    assert found.coverage > 0.9


def test_a_missing_well_is_missing_coverage_not_error():
    md = wells(3000, 3000, 0)
    found = surface_error(surface(md), md[:3000])
    assert found.coverage == pytest.approx(0.5, abs=0.05)
    assert found.mae < 0.15


def test_far_from_md_nothing_is_covered():
    md = wells(100, 100, 0)
    found = surface_error(surface(md), md + 100)
    assert found.coverage == 0
    assert np.isnan(found.mae)


def test_it_is_the_limit_of_resampling_with_noise():
    """The procedure as published: 1,000,000 noisy points, bins of the noisy range, bins with a point count."""
    rng = np.random.default_rng(0)
    md, model = wells(1500, 1500, 1), wells(150, 100, 2) * 1.1
    width = md.std(0)

    def resampled(points):
        chosen = points[rng.integers(len(points), size=RESAMPLED)] / width
        return chosen + NOISE * rng.standard_normal((RESAMPLED, 2))

    reference = resampled(md)
    edges = [np.linspace(column.min(), column.max(), BINS + 1) for column in reference.T]
    p, q = (np.histogram2d(*points.T, bins=edges)[0] / RESAMPLED for points in (reference, resampled(model)))
    low = p > p.max() * np.exp(-CUTOFF / KT)
    both = low & (q > 0)
    away = KT * np.log(p[both] / q[both])
    found = surface_error(surface(md), model)
    assert found.mae == pytest.approx(np.abs(away - np.median(away)).mean(), rel=0.05)
    assert found.rmse == pytest.approx(away.std(), rel=0.05)
    assert found.coverage == pytest.approx(both.sum() / low.sum(), abs=0.03)
