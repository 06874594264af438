"""Atoms that are alike have one name: no metric sees a ring that turned by half."""

import numpy as np
import pytest
from proteins import build, ensemble, reference, turned, wobble

from ebabench.scoring.pair import make_pair
from ebabench.structures import Ensemble
from ebabench.structures.equivalence import equivalent_atoms, name_as, named_reference

SEQUENCE = "GFYDERLVAF"
EXCHANGED = {
    "PHE": (("CD1", "CD2"), ("CE1", "CE2")),
    "TYR": (("CD1", "CD2"), ("CE1", "CE2")),
    "ASP": (("OD1", "OD2"),),
    "GLU": (("OE1", "OE2"),),
    "ARG": (("NH1", "NH2"),),
    "LEU": (("CD1", "CD2"),),
    "VAL": (("CG1", "CG2"),),
}
TARGET = build(SEQUENCE)
EQUIVALENTS = equivalent_atoms(TARGET.atoms)


def exchange(positions, share, seed=1):
    """The frames with names exchanged in a share of residues and frames, at random."""
    rng, atoms, found = np.random.default_rng(seed), TARGET.atoms, positions.copy()
    for residue, kind in enumerate(SEQUENCE):
        del kind
        rows = np.flatnonzero(atoms.residue == residue)
        pairs = EXCHANGED.get(str(atoms.residue_name[rows[0]]), ())
        where = np.flatnonzero(rng.random(len(positions)) < share)
        for one, other in pairs:
            a, b = (rows[atoms.name[rows] == name][0] for name in (one, other))
            found[where, a], found[where, b] = positions[where, b], positions[where, a]
    return found


def test_every_kind_of_residue_has_equivalent_atoms():
    assert len(EQUIVALENTS) == 8
    assert sum(len(one.pairs) for one in EQUIVALENTS) == 11


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_names_do_not_depend_on_the_names_that_were_given(share):
    positions = wobble(TARGET, 30, seed=2, noise=0.05)
    once = name_as(positions, TARGET.native, EQUIVALENTS)
    np.testing.assert_array_equal(name_as(exchange(positions, share), TARGET.native, EQUIVALENTS), once)


def test_no_atom_moves_and_the_native_structure_keeps_its_names():
    positions = exchange(wobble(TARGET, 10, seed=2), 0.5)
    named = name_as(positions, TARGET.native, EQUIVALENTS)
    np.testing.assert_array_equal(np.sort(named, axis=1), np.sort(positions, axis=1))
    np.testing.assert_array_equal(name_as(TARGET.native[None], TARGET.native, EQUIVALENTS)[0], TARGET.native)


def test_names_do_not_depend_on_orientation():
    positions = exchange(wobble(TARGET, 10, seed=2), 0.5)
    moved = turned(positions)
    named = name_as(positions, TARGET.native, EQUIVALENTS)
    again = name_as(moved, TARGET.native, EQUIVALENTS)
    assert [np.linalg.norm(one - other) < 1e-3 for one, other in zip(turned(named), again, strict=True)] == [True] * 10


def test_the_protocol_sees_no_exchange_of_names_on_either_side():
    md, model = reference(TARGET), ensemble(TARGET)
    renamed = Ensemble(model.target, model.atoms, exchange(model.positions, 0.5))
    md_renamed = type(md)(
        md.target, tuple(exchange(replica, 0.5, seed) for seed, replica in enumerate(md.replicas)), "x"
    )
    plain = make_pair(model, md, protocol="symmetric")
    other = make_pair(renamed, md_renamed, protocol="symmetric")
    np.testing.assert_allclose(plain.model, other.model, atol=1e-5)
    np.testing.assert_allclose(plain.md_rmsf, other.md_rmsf, atol=1e-5)
    assert not np.allclose(make_pair(renamed, md).model, make_pair(model, md).model, atol=0.1)


def test_stored_frames_are_named_when_they_are_read(tmp_path):
    from mdtraj.formats import XTCTrajectoryFile

    from ebabench.io.xtc import XtcFrames

    positions = exchange(wobble(TARGET, 12, seed=2), 0.5)
    with XTCTrajectoryFile(str(tmp_path / "x.xtc"), "w") as file:
        file.write(positions / 10)
    stored = XtcFrames(tmp_path / "x.xtc", len(TARGET.atoms), np.arange(len(TARGET.atoms)))
    named = named_reference(type(reference(TARGET))(TARGET, (stored,), "x")).replicas[0]
    expected = name_as(stored[:], TARGET.native, EQUIVALENTS)
    np.testing.assert_array_equal(named[:], expected)
    np.testing.assert_array_equal(named[[7, 2]], expected[[7, 2]])
    np.testing.assert_array_equal(named[3], expected[3])
    assert named.shape == stored.shape
    assert named.digest() != stored.digest()
