"""Torsions: which exist, which atoms define them, and their values in chains of known shape."""

import mdtraj
import numpy as np
import pytest
from proteins import HELIX, STRAND, build, turned, wobble

from ebabench.structures.torsions import BACKBONE, torsion_angles, torsion_table

ALL = "ARNDCQEGHILKMFPSTWYV"


def trajectory(target, positions):
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    start = np.flatnonzero(np.diff(target.atoms.residue, prepend=-1))
    residues = [topology.add_residue(str(name), chain) for name in target.atoms.residue_name[start]]
    for name, residue in zip(target.atoms.name, target.atoms.residue, strict=True):
        topology.add_atom(str(name), mdtraj.element.Element.getBySymbol(str(name)[0]), residues[residue])
    return mdtraj.Trajectory(positions / 10, topology)


def test_torsions_are_those_of_mdtraj():
    """The same atoms and the same angles, for all twenty residues; MDGen's features come from mdtraj."""
    target = build(ALL)
    positions = turned(wobble(target, 5, 0))
    table = torsion_table(target.atoms, np.arange(len(ALL)))
    for kind in ("phi", "psi", "omega", "chi1", "chi2", "chi3", "chi4", "chi5"):
        quartets, angles = getattr(mdtraj, f"compute_{kind}")(trajectory(target, positions), periodic=False)
        ours = table.of(kind)
        order = np.lexsort(table.quartets[ours].T[::-1])
        theirs = np.lexsort(quartets.T[::-1])
        np.testing.assert_array_equal(table.quartets[ours][order], quartets[theirs], err_msg=kind)
        away = torsion_angles(positions, table.quartets[ours][order]) - angles[:, theirs]
        np.testing.assert_allclose((away + np.pi) % (2 * np.pi) - np.pi, 0, atol=2e-3, err_msg=kind)


def test_psi_of_the_first_and_phi_of_the_last_residue_count():
    table = torsion_table(build("GAIK").atoms, np.arange(4))
    assert table.residue[table.of("phi")].tolist() == [1, 2, 3]
    assert table.residue[table.of("psi")].tolist() == [0, 1, 2]
    assert table.residue[table.of("omega")].tolist() == [0, 1, 2]


@pytest.mark.parametrize("ideal", [HELIX, STRAND])
def test_angles_of_an_ideal_chain(ideal):
    target = build("GAVK", ideal)
    table = torsion_table(target.atoms, np.arange(4))
    angles = np.degrees(torsion_angles(target.native[None], table.quartets))[0]
    np.testing.assert_allclose(angles[table.of("phi")], ideal[0], atol=0.1)
    np.testing.assert_allclose(angles[table.of("psi")], ideal[1], atol=0.1)
    np.testing.assert_allclose(np.abs(angles[table.of("omega")]), 180, atol=0.1)


def test_a_reflection_changes_the_sign_and_a_rotation_nothing():
    target = build("GAVKW")
    table, frames = torsion_table(target.atoms, np.arange(5)), wobble(target, 4, 1)
    angles = torsion_angles(frames, table.quartets)
    np.testing.assert_allclose(np.cos(torsion_angles(turned(frames), table.quartets) - angles), 1, atol=1e-6)
    mirrored = torsion_angles(frames * np.array([1, 1, -1], np.float32), table.quartets)
    np.testing.assert_allclose(mirrored, -angles, atol=1e-5)


def test_no_torsion_reaches_across_a_gap():
    target = build("GAVKLM")
    table = torsion_table(target.atoms, np.array([0, 1, 2, 5, 6, 7]))
    assert set(table.residue[table.of(*BACKBONE)].tolist()) == {0, 1, 2, 5, 6, 7}
    assert 5 not in table.residue[table.of("phi")]
    assert 2 not in table.residue[table.of("psi")]


def test_missing_atoms_take_their_torsions_with_them():
    target = build("GLK")
    kept = np.flatnonzero(~np.isin(target.atoms.name, ("CD1", "NZ")))
    whole, part = (torsion_table(atoms, np.arange(3)) for atoms in (target.atoms, target.atoms.take(kept)))
    assert len(whole.of("chi2")) - len(part.of("chi2")) == 1
    assert len(whole.of("chi4")) - len(part.of("chi4")) == 1
    assert len(whole.kind) - len(part.kind) == 2
