"""What the viewer of a target page gets: the largest motion, however many conformations there are."""

import numpy as np
import pytest

from ebabench.results.site.structure import _first_component


@pytest.mark.parametrize("frames", [6, 400])
def test_the_first_component_is_one_standard_deviation_of_the_largest_motion(frames: int) -> None:
    rng = np.random.default_rng(frames)
    direction = rng.normal(size=(7, 3))
    direction /= np.linalg.norm(direction)
    along = rng.normal(size=frames) * 3
    along -= along.mean()
    away = along[:, None, None] * direction + 1e-6 * rng.normal(size=(frames, 7, 3))
    found = _first_component(away)
    expected = direction * along.std()
    assert min(np.abs(found - expected).max(), np.abs(found + expected).max()) < 1e-4
