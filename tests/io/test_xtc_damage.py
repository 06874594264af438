"""Damaged XTC frames: the format has no checksum, but no damage may end the process or read what is not there."""

import numpy as np
import pytest

from ebabench.errors import InputError
from ebabench.io.xtc import XtcFrames

ATOMS, FRAMES = 60, 4
SMALLIDX = 84  # byte of a frame


@pytest.fixture(scope="module")
def positions():
    """A chain that winds through space, in nanometres: neighbours are near, so that runs of small differences occur."""
    rng = np.random.default_rng(4)
    return np.cumsum(0.15 * rng.normal(size=(FRAMES, ATOMS, 3)), axis=1).astype(np.float32)


@pytest.fixture
def path(positions, tmp_path):
    from mdtraj.formats import XTCTrajectoryFile

    with XTCTrajectoryFile(str(tmp_path / "x.xtc"), "w") as file:
        file.write(positions)
    return tmp_path / "x.xtc"


def frames(path):
    return XtcFrames(path, ATOMS, np.arange(ATOMS))


def test_numbers_are_those_of_the_library_that_wrote_them(path):
    from mdtraj.formats import XTCTrajectoryFile

    with XTCTrajectoryFile(str(path)) as file:
        expected = file.read()[0] * np.float32(10)
    np.testing.assert_array_equal(frames(path)[:], expected)


@pytest.mark.parametrize("spread", [1e-3, 0.1, 10.0, 2000.0, 8000.0])
@pytest.mark.parametrize("atoms", [1, 9, 10, 11, 200])
def test_ranges_of_every_width(spread, atoms, tmp_path):
    """From a few bits an axis to more than 24, where axes are packed one by one."""
    from mdtraj.formats import XTCTrajectoryFile

    rng = np.random.default_rng(1)
    xyz = (spread * rng.normal(size=(3, atoms, 3))).astype(np.float32)
    with XTCTrajectoryFile(str(tmp_path / "y.xtc"), "w") as file:
        file.write(xyz)
    with XTCTrajectoryFile(str(tmp_path / "y.xtc")) as file:
        expected = file.read()[0] * np.float32(10)
    np.testing.assert_array_equal(XtcFrames(tmp_path / "y.xtc", atoms, np.arange(atoms))[:], expected)


@pytest.mark.parametrize("value", [0, 8, 73, 200, 2**31 - 1, -1])
def test_a_packing_that_does_not_exist_is_refused(path, value):
    data = bytearray(path.read_bytes())
    data[SMALLIDX : SMALLIDX + 4] = int(value).to_bytes(4, "big", signed=True)
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"x\.xtc: damaged in frame 1") as error:
        frames(path)[:]
    assert error.value.code == "trajectory.broken"


def test_the_damaged_frame_is_named(path):
    data = bytearray(path.read_bytes())
    start = int(frames(path)._starts[2])
    data[start + SMALLIDX + 3] = 250
    path.write_bytes(bytes(data))
    stored = frames(path)
    assert len(stored[:2]) == 2
    with pytest.raises(InputError, match="frame 3"):
        stored[:]


def test_no_changed_byte_ends_the_process(path, positions):
    """Every byte of a frame, changed at random: refused, or numbers."""
    data = path.read_bytes()
    rng = np.random.default_rng(2)
    first = int(frames(path)._starts[1])
    refused = 0
    for at in range(first):
        changed = bytearray(data)
        changed[at] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(changed))
        try:
            found = frames(path)[:]
        except InputError as error:
            refused += 1
            assert "x.xtc" in str(error)  # noqa: PT017
        else:
            assert found.shape == (FRAMES, ATOMS, 3)
            np.testing.assert_allclose(found[1:], 10 * positions[1:], atol=0.006)
    assert refused > 60
