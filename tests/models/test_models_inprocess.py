"""The generators that need no weights: what they are by physics, and that they are honest about it."""

import subprocess
import sys
from pathlib import Path

import fit_amplitude as amplitude
import numpy as np
import pytest
from command import Called
from proteins import build, bundle

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.errors import InputError
from ebabench.generators.build import build as build_generator
from ebabench.generators.cards import CARDS, Card
from ebabench.generators.protocol import Resources
from ebabench.io.structure_files import write_pdb
from ebabench.models import nma
from ebabench.models.files import Files
from ebabench.models.gaussian import Packed
from ebabench.models.md import MolecularDynamics
from ebabench.models.nma import NormalModes, dense_modes, sparse_modes
from ebabench.physics.evaluation import gpu_platform
from ebabench.physics.protocols import get_protocol
from ebabench.results.identity import unofficial
from ebabench.results.runs import Run
from ebabench.structures import Ensemble, Reference, Target
from ebabench.structures.geometry import chiral_centers, signed_volume, superpose

PEPTIDE = build("GAIHWKSTV")
NMA = NormalModes(amplitude=5.0, cutoff=10.0)


def no_reference(name: str) -> Reference:
    raise AssertionError(f"asked for the reference of {name}")


def short_md(equilibration_ps: float = 1.0, on_gpu: bool = False) -> MolecularDynamics:
    return MolecularDynamics(0.004, equilibration_ps, 300.0, on_gpu, "amber99sbildn-obc", 1.0)


def generator(name: str):
    return build_generator(CARDS.load(name), Resources("cpu", no_reference))


@pytest.fixture(scope="module")
def modes() -> Ensemble:
    pytest.importorskip("prody")
    return NMA.sample(PEPTIDE, 400, 3)


# What all share: the seed decides, the native is the middle, nothing but the native is looked at.


@pytest.mark.parametrize("name", ["nma", "gaussian"])
def test_one_seed_one_ensemble(name: str) -> None:
    if name == "nma":
        pytest.importorskip("prody")
    model = generator(name)
    one, again, other = (model.sample(PEPTIDE, 3, seed).positions for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize("name", ["nma", "gaussian"])
def test_it_turns_and_moves_with_the_native(name: str) -> None:
    if name == "nma":
        pytest.importorskip("prody")
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    turn *= np.linalg.det(turn)
    moved = Target("x", PEPTIDE.sequence, PEPTIDE.atoms, (PEPTIDE.native @ turn.T + 7).astype(np.float32))
    model = generator(name)
    np.testing.assert_allclose(model.rmsf(moved), model.rmsf(PEPTIDE), rtol=1e-3)


@pytest.mark.parametrize("name", ["nma", "gaussian"])
def test_the_amplitude_on_the_card_is_the_fitted_one(name: str) -> None:
    if name == "nma":
        pytest.importorskip("prody")
    assert amplitude.main(name) == pytest.approx(float(CARDS.load(name).sampling["amplitude"]), abs=6e-4)


def test_a_fitted_amplitude_is_the_one_that_was_put_in() -> None:
    # An "MD" of exactly the model's own fluctuations, three times as wide.
    model = Packed(amplitude=1.0, radius=7.35)
    made = Packed(amplitude=3.0, radius=7.35).sample(bundle("A" * 80), 4000, 0)
    target = bundle("A" * 80)
    centred = superpose(made.positions, target.native)
    fitted = amplitude.fit(model, [Reference(target, (centred.astype(np.float32),), "synthetic")])
    assert fitted == pytest.approx(3.0, rel=0.02)


# Normal modes.


def test_modes_keep_every_residue_as_it_is(modes: Ensemble) -> None:
    rows = PEPTIDE.atoms.residue[:, None] == PEPTIDE.atoms.residue
    native = np.linalg.norm(PEPTIDE.native[:, None] - PEPTIDE.native, axis=-1)
    for frame in modes.positions[:20]:
        found = np.linalg.norm(frame[:, None] - frame, axis=-1)
        np.testing.assert_allclose(found[rows], native[rows], atol=1e-3)
    centers = chiral_centers(PEPTIDE.atoms)
    assert (signed_volume(modes.positions, centers) > 0).all()


def test_modes_neither_turn_nor_move_the_whole(modes: Ensemble) -> None:
    widths = NMA.widths(PEPTIDE)
    away = PEPTIDE.native - PEPTIDE.native.mean(0)
    np.testing.assert_allclose(widths.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(np.cross(away, widths).sum(1), 0, atol=1e-4)
    assert len(widths) == 6 * len(PEPTIDE.sequence) - 6


def test_small_modes_move_as_the_theory_says() -> None:
    pytest.importorskip("prody")
    small = NormalModes(amplitude=0.1, cutoff=10.0)
    found = small.sample(PEPTIDE, 4000, 1).positions
    np.testing.assert_allclose(np.sqrt(found.var(0).sum(1)), 0.1 * small.rmsf(PEPTIDE), rtol=0.1)


def test_ends_of_a_helix_move_more_than_its_middle() -> None:
    pytest.importorskip("prody")
    helix = build("A" * 20)
    rmsf = NMA.rmsf(helix)[helix.atoms.select("CA")]
    assert rmsf[[0, -1]].min() > rmsf[4:16].max()


def test_modes_of_a_long_chain_are_those_of_a_short_one() -> None:
    """Sparse matrices, of which long chains' modes are made, have the eigenvalues and the motions of ProDy's."""
    pytest.importorskip("prody")
    target = build("GACDEFHIKLMNPQRSTVWYA")
    (stiffness, modes), (own, found, basis) = dense_modes(target, 10.0), sparse_modes(target, 10.0)
    np.testing.assert_allclose(own, stiffness, atol=1e-9 * stiffness.max())
    moving, stirred = (
        one[:, value > 1e-6] / np.sqrt(value[value > 1e-6]) for one, value in ((modes, stiffness), (basis @ found, own))
    )
    np.testing.assert_allclose(stirred @ stirred.T, moving @ moving.T, atol=1e-6 * (moving**2).sum(1).max())


@pytest.mark.parametrize("atoms", [2000, 0])
def test_a_network_that_falls_apart_is_said(atoms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prody")
    monkeypatch.setattr(nma, "_DENSE", atoms)
    apart = PEPTIDE.native + 50 * (PEPTIDE.atoms.residue > 4)[:, None].astype(np.float32)
    with pytest.raises(InputError, match="do not hold its residues together"):
        NMA.sample(Target("x", PEPTIDE.sequence, PEPTIDE.atoms, apart), 2, 0)


def test_without_prody_the_model_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['prody'] = None\n"
        "from ebabench.generators.build import build\nfrom ebabench.generators.cards import CARDS\n"
        "from ebabench.generators.protocol import Resources\n"
        "from ebabench.errors import InputError\n"
        "try:\n    build(CARDS.load('nma'), Resources('cpu', None))\n"
        "except InputError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'ebabench[nma]'" in done.stdout


# Packing.


def test_buried_atoms_move_less_than_those_outside() -> None:
    target = bundle("A" * 80)
    rmsf = Packed(amplitude=1.0, radius=7.35).rmsf(target)
    away = np.linalg.norm(target.native - target.native.mean(0), axis=1)
    assert np.corrcoef(rmsf, away)[0, 1] > 0.5


def test_packed_atoms_have_the_widths_that_their_neighbours_give_them() -> None:
    model = Packed(amplitude=4.0, radius=7.35)
    found = model.sample(PEPTIDE, 5000, 0).positions
    neighbours = (np.linalg.norm(PEPTIDE.native[:, None] - PEPTIDE.native, axis=-1) <= 7.35).sum(1) - 1
    np.testing.assert_allclose(np.sqrt(found.var(0).sum(1)), 4 / np.sqrt(neighbours), rtol=0.05)


# Molecular dynamics.


@pytest.fixture(scope="module")
def kled() -> Target:
    return reference_reader(load_suite("peptides-v1"))("KLED").target


@pytest.fixture(scope="module")
def short(kled: Target) -> Ensemble:
    return short_md().sample(kled, 4, 1)


def test_dynamics_repeat_under_a_seed_and_differ_under_another(kled: Target, short: Ensemble) -> None:
    model = short_md()
    np.testing.assert_array_equal(model.sample(kled, 4, 1).positions, short.positions)
    assert np.abs(model.sample(kled, 4, 2).positions - short.positions).max() > 0.1


def test_dynamics_keep_bonds_and_handedness(kled: Target, short: Ensemble) -> None:
    native = np.linalg.norm(kled.native[:, None] - kled.native, axis=-1)
    first, second = np.nonzero((native < 1.7) & (native > 0))
    lengths = np.linalg.norm(short.positions[:, first] - short.positions[:, second], axis=-1)
    assert np.abs(lengths - native[first, second]).max() < 0.25
    assert (signed_volume(short.positions, chiral_centers(kled.atoms)) > 0).all()


def test_dynamics_start_at_the_native_and_leave_it(kled: Target, short: Ensemble) -> None:
    away = np.sqrt(
        ((superpose(short.positions, kled.native) - (kled.native - kled.native.mean(0))) ** 2).sum(2).mean(1)
    )
    assert away.max() < 4
    assert away.min() > 0.1


def test_dynamics_of_version_2_have_the_physics_of_the_suites_references() -> None:
    """Where the card and the suite said different things, the row of MD would not be of the judge's own MD."""
    told, made = CARDS.load("md-gbn2").sampling, load_suite("peptides-v2").simulation
    assert made is not None
    assert get_protocol(str(told["protocol"])).forcefield == made.forcefield
    assert (told["temperature_k"], told["friction_per_ps"]) == (made.temperature_k, made.friction_per_ps)


def test_more_samples_than_time_steps_are_refused(kled: Target) -> None:
    with pytest.raises(InputError, match="more than it has time steps"):
        short_md(equilibration_ps=0.0).sample(kled, 4000, 1)


def test_what_has_no_force_field_is_said(kled: Target) -> None:
    kept = np.flatnonzero(kled.atoms.name != "CG")
    with pytest.raises(InputError, match="KLED: cannot be simulated"):
        short_md().sample(Target("KLED", kled.sequence, kled.atoms.take(kept), kled.native[kept]), 2, 1)


@pytest.mark.skipif(gpu_platform() == "CUDA", reason="there is one")
def test_a_gpu_that_is_not_here_is_named(kled: Target) -> None:
    with pytest.raises(InputError, match="cannot use its platform CUDA"):
        short_md(on_gpu=True).sample(kled, 2, 1)


# Files.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pdb(Packed(3.0, 7.35).sample(PEPTIDE, 20, 0), tmp_path / "synthetic.pdb")
    return tmp_path


def files_card(folder: Path) -> Card:
    return CARDS.load("files").with_settings({"folder": str(folder)})


def test_files_give_different_conformations_of_the_folder(folder: Path) -> None:
    model = build_generator(files_card(folder), Resources("cpu", no_reference))
    whole = model.sample(PEPTIDE, 20, 0).positions
    some = model.sample(PEPTIDE, 5, 1).positions
    assert len(np.unique(whole, axis=0)) == 20
    assert all((whole == frame).all((1, 2)).sum() == 1 for frame in some)
    np.testing.assert_array_equal(some, model.sample(PEPTIDE, 5, 1).positions)


def test_too_few_files_and_no_folder_are_said(folder: Path) -> None:
    with pytest.raises(InputError, match="20 conformations of synthetic, 21 were asked for"):
        Files(folder).sample(PEPTIDE, 21, 0)
    with pytest.raises(InputError, match="no such folder"):
        build_generator(files_card(folder / "nowhere"), Resources("cpu", no_reference))


# Settings of a card, changed for one run.


def test_a_changed_setting_takes_the_type_of_the_cards_and_is_a_fact_of_the_run() -> None:
    card = CARDS.load("md")
    changed = card.with_settings({"nanoseconds": "2"})
    assert changed.sampling == {**card.sampling, "nanoseconds": 2.0}
    assert changed.path == card.path
    assert changed.facts()["changed"] == ["nanoseconds"]
    assert "changed" not in card.facts()
    assert card.with_settings({}).facts() == card.facts()


def test_settings_that_are_not_the_cards_are_refused() -> None:
    with pytest.raises(InputError, match="unknown setting of md 'nanosecond'; did you mean nanoseconds"):
        CARDS.load("md").with_settings({"nanosecond": "2"})
    with pytest.raises(InputError, match=r"md: nanoseconds: 'two' is not of the kind of 1\.0"):
        CARDS.load("md").with_settings({"nanoseconds": "two"})


@pytest.mark.slow
def test_a_run_of_files_from_a_folder_is_whole_and_unofficial(tmp_path: Path, called: Called) -> None:
    suite = load_suite("peptides-v1")
    reader = reference_reader(suite)
    for target in suite.targets:
        made = Packed(3.0, 7.35).sample(reader(target.name).target, 4, 0)
        write_pdb(made, tmp_path / f"{target.name}.pdb")
    options = ("--suite", "peptides-v1", "--samples", "3", "--out", "run")
    status, _, errors = called("sample", "--model", "files", "--set", f"folder={tmp_path}", *options)
    assert status == 0, errors
    assert len(list(Path("run/ensembles").glob("*.npz"))) == len(suite.targets)
    assert "settings other than the card's: folder" in unofficial(Run.read(Path("run")).identity, [], suite)
    status, _, errors = called("sample", "--model", "files", "--set", "folder")
    assert status == 2
    assert "--set folder: not of the form NAME=VALUE" in errors
