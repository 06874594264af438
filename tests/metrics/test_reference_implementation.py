"""Every figure against an implementation that shares no line with it."""

import numpy as np
import pytest
from proteins import build, turned, wobble
from reference_implementation import energies, figures

from ebabench.metrics import FAMILIES
from ebabench.physics.energy import potential_energies
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.structures import Ensemble, Reference

ELSEWHERE = {"exposure", "secondary_structure", "energy"}
"""Exposure has a plain counterpart in test_metrics_panel, secondary structure is mdtraj's DSSP; energies are below."""


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


def test_figures_of_energies_are_what_the_documentation_says():
    """Draw A of MD against the model, both by the same energies."""
    target = build("GAIK")
    replicas = tuple(wobble(target, frames, k, 0.1, 0.03) for k, frames in enumerate((20, 30)))
    model = wobble(target, 25, 9, 0.1, 0.06)
    pair = make_pair(
        Ensemble(target.name, target.atoms, model), Reference(target, replicas, "test"),
        energy_protocol="amber99sbildn-obc",
    )  # fmt: skip
    every = np.concatenate(replicas)
    drawn = every[np.random.RandomState(137).randint(0, len(every), len(model))]
    own, md = (potential_energies(target.atoms, side, "amber99sbildn-obc") for side in (model, drawn))
    found = METRICS.load("energy").compute(pair)
    expected = energies(own, md)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-3, atol=1e-9, err_msg=key)
