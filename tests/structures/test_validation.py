"""What is no ensemble is refused frame by frame: mirrored, in nanometres, cut by a boundary."""

import numpy as np
import pytest
from proteins import build, ensemble, turned, wobble

from ebabench.errors import InputError
from ebabench.structures.validation import validate, validate_chirality

CHAIN = "GSHMKNSVIVDLPGSMKVLV"
TARGET = build(CHAIN)
PLACE = np.arange(len(CHAIN))


def mirrored(positions, frames):
    found = positions.copy()
    found[frames, :, 2] *= -1
    return turned(found)


@pytest.mark.parametrize("frames", [[7], [3, 20], list(range(20, 40)), list(range(40))])
def test_mirrored_frames_are_found_wherever_they_are(frames):
    positions = mirrored(wobble(TARGET, 40, seed=1, noise=0.1), frames)
    with pytest.raises(InputError, match=f"{len(frames)} of 40 frames .* frame {frames[0] + 1}") as error:
        validate_chirality("x", TARGET.atoms, positions, TARGET.native)
    assert error.value.code == "ensemble.mirrored"


@pytest.mark.parametrize("sequence", ["AS", "KED"])
def test_mirrored_frames_of_a_short_peptide(sequence):
    """Half of the frames are mirrored as a whole, as of a model that does not know left from right."""
    target = build(sequence)
    positions = wobble(target, 200, seed=1, noise=0.02)
    validate_chirality("x", target.atoms, positions, target.native)
    with pytest.raises(InputError, match="100 of 200 frames"):
        validate_chirality("x", target.atoms, mirrored(positions, list(range(100))), target.native)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_centers_that_invert_by_themselves_are_the_model_s_errors(share):
    """Metrics count them; they are no reason to refuse."""
    target, rng = build("KEDA"), np.random.default_rng(3)
    positions = wobble(target, 200, seed=1, noise=0.02)
    beta = target.atoms.select("CB")
    ca = target.atoms.select("CA")
    for k in range(len(beta)):
        frames = np.flatnonzero(rng.random(200) < share)
        positions[frames, beta[k]] = 2 * positions[frames, ca[k]] - positions[frames, beta[k]]
    validate_chirality("x", target.atoms, positions, target.native)


def test_the_fold_tells_a_mirrored_trace_of_c_alphas_frame_by_frame():
    from ebabench.structures import Atoms

    ca = TARGET.atoms.select("CA")
    atoms = Atoms(TARGET.atoms.name[ca], TARGET.atoms.residue_name[ca], np.arange(len(ca)))
    positions = ensemble(TARGET, amplitude=0.3).positions[:, ca]
    validate_chirality("x", atoms, positions, TARGET.native[ca])
    with pytest.raises(InputError, match="frame 6"):
        validate_chirality("x", atoms, mirrored(positions, [5, 9]), TARGET.native[ca])


@pytest.mark.parametrize("names", [("CA",), ("N", "CA", "C"), ("N", "CA", "C", "O")])
@pytest.mark.parametrize("frames", [range(40), range(0, 40, 8)])
def test_all_mirrored_frames_of_a_flexible_backbone_are_named(names, frames):
    """A mirrored frame and its mirror image are both far from the native structure. All mirrored frames are named, so
    that none of them is scored after these were left out.
    """
    from ebabench.structures import Atoms

    target = build(CHAIN + "AEKLA" * 2)
    rows = np.flatnonzero(np.isin(target.atoms.name, names))
    atoms = Atoms(*(column[rows] for column in (target.atoms.name, target.atoms.residue_name, target.atoms.residue)))
    positions = wobble(target, 40, seed=2, amplitude=2.0, noise=0.1)[:, rows]
    validate_chirality("x", atoms, positions, target.native[rows])
    remedy = "frame 1; mirror them back" if len(frames) == 40 else "frame 1; leave them out"
    with pytest.raises(InputError, match=f"{len(frames)} of 40 frames .*{remedy}"):
        validate_chirality("x", atoms, mirrored(positions, list(frames)), target.native[rows])


def test_left_handed_polyproline_is_not_mirrored():
    from ebabench.structures import Atoms

    target, native = build("P" * 40, (-75.0, 145.0)), build("P" * 40).native
    for names in (("CA",), ("N", "CA", "C")):
        rows = np.flatnonzero(np.isin(target.atoms.name, names))
        columns = (target.atoms.name, target.atoms.residue_name, target.atoms.residue)
        positions = wobble(target, 40, seed=2, amplitude=2.0, noise=0.3)[:, rows]
        validate_chirality("x", Atoms(*(column[rows] for column in columns)), positions, native[rows])


@pytest.mark.parametrize("frames", [[11], list(range(0, 40, 2)), list(range(40))])
def test_nanometres_in_some_frames(frames):
    positions = ensemble(TARGET).positions.copy()
    positions[frames] /= 10
    with pytest.raises(InputError, match=f"frame {frames[0] + 1}: these are nanometres"):
        validate("x", TARGET.atoms, PLACE, positions)


def test_a_frame_whose_atoms_lie_in_one_place():
    positions = ensemble(TARGET).positions.copy()
    positions[3] = positions[3, :1]
    with pytest.raises(InputError, match="frame 4") as error:
        validate("x", TARGET.atoms, PLACE, positions)
    assert error.value.code == "ensemble.broken"


def test_a_jump_through_a_boundary_names_the_remedy():
    positions = ensemble(TARGET).positions.copy()
    positions[4, TARGET.atoms.residue > 9] += 60
    with pytest.raises(InputError, match=r"frame 5 .*periodic boundary.*pbc whole"):
        validate("x", TARGET.atoms, PLACE, positions)


def test_a_gap_in_all_frames_may_be_of_missing_residues():
    positions = ensemble(TARGET).positions.copy()
    positions[4, TARGET.atoms.residue > 9] += 60
    with pytest.raises(InputError) as error:
        validate("x", TARGET.atoms, PLACE, positions)
    assert "missing" not in str(error.value)
    positions[:, TARGET.atoms.residue > 9] += 60
    with pytest.raises(InputError, match="in all 40 frames: if residues are missing"):
        validate("x", TARGET.atoms, PLACE, positions)


@pytest.mark.parametrize("shift", [1e6, -3e5, 1e30])
def test_positions_so_far_away_that_bonds_lose_their_digits(shift):
    """At a million angstrom, neighbours in single precision are 0.06 angstrom apart."""
    positions = ensemble(TARGET).positions.copy()
    validate("x", TARGET.atoms, PLACE, positions + np.float32(9999.0))
    positions[6] += shift
    with pytest.raises(InputError, match="frame 7") as error:
        validate("x", TARGET.atoms, PLACE, positions)
    assert error.value.code == "ensemble.far"
