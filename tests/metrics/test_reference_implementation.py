"""Every figure against an implementation that shares no line with it."""

import numpy as np
import pytest
from proteins import build, turned, wobble
from reference_implementation import figures

from ebabench.metrics import FAMILIES
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.structures import Ensemble, Reference

ELSEWHERE = {
    "exposure",
    "secondary_structure",
    "energy",
    "classifier",
}  # their tests have plain counterparts of their own


@pytest.mark.parametrize(("sequence", "samples"), [("GAIK", 30), ("AWTEKL", 40)])
def test_every_figure_is_what_the_documentation_says(sequence, samples):
    target = build(sequence)
    atoms = target.atoms
    replicas = tuple(wobble(target, frames, k, 0.9, 0.12) for k, frames in enumerate((180, 150, 160)))
    model = turned(wobble(target, samples, 9, 1.4, 0.2))
    pair = make_pair(Ensemble(target.name, atoms, model), Reference(target, replicas, "test"))
    found = {}
    for name in FAMILIES.keys() - ELSEWHERE:
        found |= METRICS.load(name).compute(pair)
    expected = figures(
        atoms.name.tolist(),
        atoms.residue_name.tolist(),
        atoms.residue.tolist(),
        *(side.astype(np.float64) for side in (target.native, model)),
        [replica.astype(np.float64) for replica in replicas],
    )
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-5, err_msg=key)
