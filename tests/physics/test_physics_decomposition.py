"""Shares of residues and force terms: they add up, each term is OpenMM's, and nothing is shared with the far side."""

import copy

import numpy as np
import openmm
import pytest
from proteins import STRAND, build

from ebabench.physics import decomposition
from ebabench.physics.decomposition import TERMS, decompose
from ebabench.physics.energy import potential_energies
from ebabench.physics.evaluation import constrain_hydrogens
from ebabench.physics.preparation import build_template
from ebabench.physics.protocols import PROTOCOLS

REFERENCE = openmm.Platform.getPlatformByName("Reference")
OF_FORCE = {
    openmm.HarmonicBondForce: "bond",
    openmm.HarmonicAngleForce: "angle",
    openmm.PeriodicTorsionForce: "torsion",
    openmm.CustomTorsionForce: "torsion",
    openmm.CMAPTorsionForce: "cmap",
    openmm.CustomNonbondedForce: "pairs",
    openmm.CustomBondForce: "pairs",
    openmm.NonbondedForce: "pairs",
    openmm.GBSAOBCForce: "solvation",
    openmm.CustomGBForce: "solvation",
}


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_every_term_is_openmm_s(protocol, tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path))
    target = build("GASHWPC", STRAND)
    frame = target.native[None] + 0.05 * np.random.default_rng(0).standard_normal(target.native.shape)
    frame = frame.astype(np.float32)
    found = decompose(target.atoms, frame, protocol, minimise=False)
    assert found.values.shape == (1, 7, len(TERMS))
    assert found.values.sum() == pytest.approx(potential_energies(target.atoms, frame, protocol, False)[0], rel=1e-8)

    template = build_template(target.atoms, PROTOCOLS[protocol])
    system = constrain_hydrogens(template) if PROTOCOLS[protocol].constrain_hydrogens else template.system
    expected = dict.fromkeys(OF_FORCE.values(), 0.0)
    for index in range(system.getNumForces()):
        alone = openmm.System()
        for _ in range(system.getNumParticles()):
            alone.addParticle(1.0)
        alone.addForce(copy.deepcopy(system.getForce(index)))
        context = openmm.Context(alone, openmm.VerletIntegrator(0.001), REFERENCE)
        context.setPositions(template.complete(frame)[0])
        expected[OF_FORCE[type(system.getForce(index))]] += context.getState(getEnergy=True).getPotentialEnergy()._value
    total = dict(zip(TERMS, found.values.sum((0, 1)), strict=True))
    ours = {name: total[name] for name in ("bond", "angle", "torsion", "cmap")}
    ours |= {"pairs": total["lennard_jones"] + total["coulomb"]}
    ours |= {"solvation": total["polar_solvation"] + total["surface"]}
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, rel=1e-7, abs=1e-7), name


def test_moving_a_side_chain_is_that_residue_s_bond_energy():
    target = build("GAAAG", STRAND)
    moved = target.native.copy()
    beta = int(np.flatnonzero((target.atoms.residue == 2) & (target.atoms.name == "CB"))[0])
    alpha = int(np.flatnonzero((target.atoms.residue == 2) & (target.atoms.name == "CA"))[0])
    moved[beta] += 0.1 * (moved[beta] - moved[alpha])
    before, after = decompose(target.atoms, np.stack([target.native, moved]), "amber99sbildn-obc", False).values
    change = (after - before)[:, TERMS.index("bond")]
    assert change[2] > 1
    np.testing.assert_allclose(np.delete(change, 2), 0, atol=1e-9)


def test_a_frame_without_energy_has_no_shares():
    target = build("GAG", STRAND)
    frames = np.stack([target.native, np.full_like(target.native, np.nan)])
    found = decompose(target.atoms, frames, "amber99sbildn-obc")
    assert np.isfinite(found.values[0]).all()
    assert np.isnan(found.values[1]).all()
    assert "finite" in found.reasons[1]


def test_an_unknown_custom_force_is_refused():
    with pytest.raises(ValueError, match="cannot decompose"):
        decomposition._interactions(openmm.CustomTorsionForce("k*theta"))
