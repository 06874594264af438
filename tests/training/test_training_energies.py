"""Energies for training: of a suite's frames, of residues, kept, and with what has none left out."""

import csv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import Called
from proteins import STRAND, build, wobble

from ebabench.errors import InputError
from ebabench.physics import decomposition, store
from ebabench.physics.decomposition import residue_energies
from ebabench.physics.energy import potential_energies
from ebabench.scoring.pair import make_pair
from ebabench.structures import Atoms, Ensemble, Reference
from ebabench.structures.arrays import Positions
from ebabench.training.data import Conformations, FloatArray, Trajectories, load, with_energies
from ebabench.training.exclusions import Exclusion, keep, sifted, told

PROTOCOL = "amber99sbildn-obc"


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


def _trajectories() -> Trajectories:
    """Four frames of a tripeptide, of which the second has no energy."""
    target = build("GAS", STRAND)
    noise = 0.02 * np.random.default_rng(0).standard_normal((4, *target.native.shape))
    frames = (target.native + noise).astype(np.float32)
    frames[1, 3] = np.nan
    return Trajectories("GAS", (lambda _name: Reference(target, (frames,), "md-implicit"),), 1)


def _computed(residues: bool) -> tuple[Trajectories, Conformations]:
    with ThreadPoolExecutor(1) as pool:
        (found,) = with_energies([_trajectories()], PROTOCOL, pool, lambda _what, _done, _total: None, residues)
    return found, found.read()


@pytest.mark.usefixtures("own_cache")
def test_frames_without_an_energy_are_left_out() -> None:
    found, read = _computed(residues=False)
    assert found.energies is not None
    assert np.isnan(found.energies).tolist() == [False, True, False, False]
    assert read.energies is not None
    assert len(read.positions) == len(read.energies) == 3
    assert np.isfinite(read.energies).all()
    assert read.residue_energies is None


def _one_place(frames: Positions) -> None:
    frames[5] = 7.0


def _exploded(frames: Positions) -> None:
    frames[5, 8:] += 40.0


def _nanometres(frames: Positions) -> None:
    frames[5] /= 10


def _mirrored(frames: Positions) -> None:
    frames[:, :, 0] *= -1


@pytest.mark.parametrize(("wrong", "named"), [(_one_place, 6), (_exploded, 6), (_nanometres, 6), (_mirrored, 1)])
def test_frames_that_would_not_be_scored_are_not_trained_on(wrong: Callable[[Positions], None], named: int) -> None:
    """By the same check, which names the replica and the frame as its file counts it."""
    target = build("GASAS", STRAND)
    good = wobble(target, 8, 1, 0.3, 0.02)
    bad = good.copy()
    wrong(bad)
    md = Reference(target, (good, bad), "md-implicit")
    with pytest.raises(InputError, match=f"replica 2: .*frame {named}") as scored:
        make_pair(Ensemble("GASAS", target.atoms, good), md).md_ca  # noqa: B018
    for stride in (1, 5):
        with pytest.raises(InputError, match=f"replica 2: .*frame {named}") as trained:
            Trajectories("GASAS", (lambda _name: md,), stride).read()
        assert trained.value.code == scored.value.code


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("residues", [False, True])
def test_what_is_left_out_is_named_with_its_reason(tmp_path: Path, residues: bool) -> None:
    found, _ = _computed(residues)
    assert found.reasons == {1: "coordinates are not finite"}
    kept, rows = sifted(["GAS", "GLY"], [found], compared=3)
    assert kept == [found]
    assert rows == [
        Exclusion("GLY", None, "there are no samples of it"),
        Exclusion("GAS", 1, "coordinates are not finite"),
    ]
    assert told(rows)[1] == "GAS: 1 frame without an energy left out: coordinates are not finite"
    keep(rows, tmp_path)
    with (tmp_path / "left_out.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [["GLY", "", rows[0].reason], ["GAS", "1", rows[1].reason]]
    keep([], tmp_path)
    assert not (tmp_path / "left_out.csv").exists()


def test_a_target_with_too_few_energies_is_left_out_or_all_is_refused() -> None:
    few = replace(
        _trajectories(), energies=np.array([1.0, np.nan, np.nan, np.nan]), reasons=dict.fromkeys((1, 2, 3), "x")
    )
    enough = replace(few, name="GAT", energies=np.arange(4.0), reasons={})
    kept, rows = sifted(["GAS", "GAT"], [few, enough], compared=2)
    assert kept == [enough]
    assert told(rows) == ["GAS is left out, 1 of its 4 frames have an energy, fewer than the 2 that are compared: x"]
    with pytest.raises(InputError, match="no target is left to train on; GAS is left out, 1 of its 4"):
        sifted(["GAS"], [few], compared=2)
    assert sifted(["GAS"], [few], compared=1)[0] == [few]
    untold = [replace(few, name=f"t{k}") for k in range(12)]
    assert told(sifted(["GAT"], [*untold, enough], compared=2)[1])[-1] == "and 2 further targets"


@pytest.mark.usefixtures("own_cache")
def test_energies_of_residues_add_up_and_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    _, read = _computed(residues=True)
    assert read.residue_energies is not None
    assert read.residue_energies.shape == (3, 3)
    expected = potential_energies(read.target.atoms, read.positions, PROTOCOL)
    np.testing.assert_allclose(read.residue_energies.sum(1), expected, atol=1e-6)
    assert read.energies is not None
    np.testing.assert_allclose(read.energies, expected, atol=1e-6)

    def again(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(decomposition, "decompose", again)
    np.testing.assert_array_equal(residue_energies(read.target.atoms, read.positions, PROTOCOL), read.residue_energies)


def test_what_training_reads_enters_its_digest() -> None:
    one = _trajectories().read_unchecked()
    finite = replace(one, positions=np.nan_to_num(one.positions))
    moved = replace(finite, positions=finite.positions + np.float32(1e-3))
    digests = {c.digest() for c in (one, finite, moved, replace(finite, energies=np.zeros(4)))}
    assert len(digests) == 4


def test_frames_are_read_every_so_often() -> None:
    (every,) = (one for one in load(["peptides-train-v1"], None, 1) if one.name == "WANLGLAK")
    strided = replace(every, stride=100).read()
    np.testing.assert_array_equal(strided.positions, every.read().positions[::100])


@pytest.mark.slow
@pytest.mark.usefixtures("own_cache")
def test_energies_of_a_suite(called: Called) -> None:
    command = ("energy", "--suite", "peptides-val-v1", "--target", "LGYS", "--stride", "900", "--jobs", "1")
    assert called(*command, "--out", "energies.csv")[0] == 0
    with Path("energies.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["target"] for row in rows} == {"LGYS"}
    assert {row["replica"] for row in rows} == {"1", "2"}
    assert {int(row["frame"]) % 900 for row in rows} == {0}
    assert all(np.isfinite(float(row["energy_kj_per_mol"])) and not row["reason"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either files or --suite"),
        (("--suite", "peptides-val-v1", "--target", "GGGG"), "unknown target of peptides-val-v1"),
        (("--suite", "peptides-val-v1", "--forcefield", "amber"), "unknown energy protocol 'amber'"),
        (("--suite", "atlas-train-v1"), "atlas-train-v1 names no energy protocol: choose one with --forcefield"),
        (("--suite", "peptides-val-v1", "--decompose"), "--decompose is for files"),
    ],
)
def test_wrong_usage(called: Called, arguments: tuple[str, ...], message: str) -> None:
    status, _, errors = called("energy", *arguments)
    assert status == 2
    assert message in errors


@pytest.mark.usefixtures("own_cache")
def test_shares_of_residues_and_terms_as_csv(called: Called) -> None:
    target = build("GA", STRAND)
    lines = [
        f"ATOM  {k + 1:5} {name:^4} {residue:3} A{number + 1:4}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00{name[0]:>12}"
        for k, (name, residue, number, (x, y, z)) in enumerate(
            zip(target.atoms.name, target.atoms.residue_name, target.atoms.residue, target.native, strict=True)
        )
    ]
    Path("two.pdb").write_text(
        "\n".join(["MODEL        1", *lines, "ENDMDL", "MODEL        2", *lines, "ENDMDL", "END\n"])
    )
    status, output, _ = called("energy", "two.pdb", "--forcefield", PROTOCOL, "--decompose")
    assert status == 0
    shares = list(csv.DictReader(output.splitlines()))
    assert [(s["frame"], s["residue"], s["residue_name"]) for s in shares] == [
        (structure, *residue) for structure in "12" for residue in (("1", "GLY"), ("2", "ALA"))
    ]
    status, output, _ = called("energy", "two.pdb", "--forcefield", PROTOCOL)
    whole = [float(row["energy_kj_per_mol"]) for row in csv.DictReader(output.splitlines())]
    total = [sum(float(s[term]) for term in decomposition.TERMS for s in shares if s["frame"] == n) for n in "12"]
    np.testing.assert_allclose(total, whole, rtol=1e-6)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("residues", [False, True])
def test_energies_are_shared_out_by_frames_and_those_that_are_known_are_not_computed(
    monkeypatch: pytest.MonkeyPatch, residues: bool
) -> None:
    monkeypatch.setattr(store, "_PORTION", 1)  # a frame at a time
    told: list[tuple[str, int, int]] = []
    one = _trajectories()
    read = one.read_unchecked()
    sound = np.array([0, 2, 3])
    of: Callable[[Atoms, Positions, str], FloatArray] = residue_energies if residues else potential_energies
    expected = of(read.target.atoms, read.positions[sound[1:]], PROTOCOL)
    with ThreadPoolExecutor(1) as pool:
        (found,) = with_energies(
            [one], PROTOCOL, pool, lambda what, done, total: told.append((what, done, total)), residues
        )
    # Frames 2 and 3 are known; 1 has no energy.
    assert told == [("energies looked up", 1, 1), *(("energies of frames", k, 2) for k in range(3))]
    values = found.residue_energies if residues else found.energies
    assert values is not None
    np.testing.assert_array_equal(values[sound[1:]], expected)
    np.testing.assert_allclose(values[0], of(read.target.atoms, read.positions[:1], PROTOCOL)[0])
    assert found.reasons == {1: "coordinates are not finite"}
