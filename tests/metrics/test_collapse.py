import numpy as np
import pytest
from synthetic_runs import ensemble, reference

from ebabench.metrics.collapse import compute, effective_conformations
from ebabench.scoring.pair import make_pair


def clusters(*sizes):
    """Single points 5 apart, in clusters of the same place."""
    label = np.repeat(np.arange(len(sizes)), sizes)
    return np.stack([5.0 * label, 0 * label, 0 * label], axis=1)[:, None]


@pytest.mark.parametrize(
    ("sizes", "expected"), [((12,), 1), ((6, 6), 2), ((1,) * 12, 12), ((9, 3), 144 / (81 + 9)), ((4, 4, 4), 3)]
)
def test_the_effective_number_counts_clusters(sizes, expected):
    assert effective_conformations(clusters(*sizes), 1.0) == pytest.approx(expected)


def test_md_itself_is_as_diverse_as_md_and_a_stiff_model_is_not():
    def figures(amplitude):
        return compute(make_pair(ensemble("one", 60, amplitude=amplitude), reference("one", frames=200)))

    alike, stiff = figures(0.4), figures(0.1)
    assert alike["effective_conformations"] == pytest.approx(alike["md_effective_conformations"], rel=0.2)
    assert stiff["effective_conformations"] < 0.2 * stiff["md_effective_conformations"]
    assert stiff["md_effective_conformations"] == alike["md_effective_conformations"]
