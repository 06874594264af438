"""Suites: frozen, strict, and the very simulations that their references are made by."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import SUITE, Tiny

from ebabench.datasets.suites import Suite, load_suite, reference_reader, references_made, suite_ids
from ebabench.errors import InputError

AMINO_ACIDS = set("ACDEFGHIKLMNPQRSTVWY")
# Beside the tests: the wheel leaves the training references out.
EMBEDDED = Path(__file__).parents[2] / "ebabench" / "datasets" / "peptides"
SIMULATED = [name for name in suite_ids() if load_suite(name).simulation and not load_suite(name).draft]
WITH_MD = [name for name in SIMULATED if name != "peptides-sequences-v2"]


def written(folder: Path, text: str) -> Path:
    path = folder / "tiny-v1.toml"
    path.write_text(text)
    return path


def sequences(suite: Suite) -> set[str]:
    return {target.sequence for target in suite.targets}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("samples = 12", ""), "samples: Field required"),
        (("samples = 12", 'samples = "many"'), "samples"),
        (("samples = 12", "samples = 12\ncolour = 1"), "colour"),
        (('protocol = "corrected"', 'protocol = "correct"'), "protocol"),
        (('"extended"', '"sheet"'), "targets.1.start"),
        (("replicas = 2", ""), "simulation.replicas"),
        (('id = "tiny-v1"', 'id = "tiny"'), "id: is 'tiny'"),
        (("samples = 12", "samples = 0"), "samples"),
        (("samples = 12", "samples = 1"), "samples"),
        (("samples = 12", "samples = -5"), "samples"),
        (("seed = 1", "seed = -1"), "seed"),
        (("frame_ps = 1.0", "frame_ps = inf"), "simulation.frame_ps"),
        (("frame_ps = 1.0", "frame_ps = 0.0"), "simulation.frame_ps"),
        (("replicas = 2", "replicas = 0"), "simulation.replicas"),
        (('name = "KDE"', 'name = "../../x"'), "targets.1.name"),
        (('name = "KDE"', 'name = "/x"'), "targets.1.name"),
        (('name = "KDE"', 'name = "K\\nE"'), "targets.1.name"),
        (('name = "KDE"', 'name = ""'), "targets.1.name"),
        (('name = "KDE"', 'name = "=1+1"'), "targets.1.name"),
        (('sequence = "AGS"', 'sequence = "ags"'), "targets.0.sequence: 'ags' has 'a'"),
        (('sequence = "AGS"', 'sequence = "AG*"'), "targets.0.sequence: 'AG*' has '*'"),
        (('sequence = "AGS"', 'sequence = ""'), "targets.0.sequence: is empty"),
        (('name = "KDE"', 'name = "AGS"'), "the file: targets: ags is listed more than once"),
        (('name = "KDE"', 'name = "ags"'), "the file: targets: ags is listed more than once"),
    ],
)
def test_a_suite_that_breaks_the_schema_names_file_and_field(
    tmp_path: Path, change: tuple[str, str], fault: str
) -> None:
    assert change[0] in SUITE
    path = written(tmp_path, SUITE.replace(*change, 1))
    with pytest.raises(InputError) as caught:
        load_suite(str(path))
    assert str(caught.value).startswith(f"{path}: {fault}")


def test_names_that_differ_in_the_coding_of_an_accent_are_one(tmp_path: Path) -> None:
    """A file system of macOS makes one file of them."""
    names = {"AGS": "Gr\u00f6\u00dfe", "KDE": "Gro\u0308\u00dfe"}
    text = SUITE
    for old, new in names.items():
        text = text.replace(f'name = "{old}"', f'name = "{new}"')
    with pytest.raises(InputError, match="listed more than once"):
        load_suite(str(written(tmp_path, text)))


@pytest.mark.parametrize("text", ["# " + "x" * (1 << 23), "a = [" + "1," * (1 << 22) + "]"])
def test_a_suite_of_many_megabytes_is_refused_unread(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        load_suite(str(written(tmp_path, SUITE + text)))
    assert "tiny-v1.toml" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_fault_quotes_no_more_than_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_suite(str(written(tmp_path, SUITE.replace('"KDE"', f'"{"K" * 100_000}"', 1))))
    assert len(str(caught.value)) < 1000


def test_a_byte_order_mark_is_no_part_of_a_suite(tmp_path: Path) -> None:
    plain = load_suite(str(written(tmp_path, SUITE)))
    (tmp_path / "tiny-v1.toml").write_text(SUITE, encoding="utf-8-sig")
    assert load_suite(str(tmp_path / "tiny-v1.toml")).digest() == plain.digest()


def test_the_seed_of_a_simulation_is_its_own(tmp_path: Path) -> None:
    simulations = load_suite(str(written(tmp_path, SUITE))).simulations()
    assert [(one.name, one.replica, one.seed) for one in simulations] == [
        ("AGS", 1, 2), ("AGS", 2, 3), ("KDE", 1, 12), ("KDE", 2, 13), ("FAV", 1, 22), ("FAV", 2, 23),
    ]  # fmt: skip
    for suite_id in SIMULATED:
        seeds = [one.seed for one in load_suite(suite_id).simulations()]
        assert len(set(seeds)) == len(seeds)


def test_choosing_targets_changes_no_simulation(tmp_path: Path) -> None:
    suite = load_suite(str(written(tmp_path, SUITE)))
    assert suite.simulations("FAV") == suite.simulations()[4:]
    with pytest.raises(InputError, match="unknown target of tiny-v1 'KDF'; did you mean KDE"):
        suite.simulations("KDF")


def test_starts_become_one_pair_of_torsions_a_residue(tmp_path: Path) -> None:
    suite = load_suite(str(written(tmp_path, SUITE)))
    assert suite.simulations("AGS")[0].start == "random"
    assert suite.simulations("KDE")[0].start == ((-120.0, 130.0),) * 3


def test_a_target_may_be_simulated_longer_than_its_suite(tmp_path: Path) -> None:
    text = SUITE.replace('start = "extended"', "nanoseconds = 0.05\nreplicas = 3\nframe_ps = 0.5")
    simulations = load_suite(str(written(tmp_path, text))).simulations("KDE")
    assert [(one.frames, one.replica) for one in simulations] == [(101, 1), (101, 2), (101, 3)]


def test_a_suite_without_settings_is_not_simulated(tmp_path: Path) -> None:
    text = SUITE[: SUITE.index("[simulation]")] + '[[targets]]\nname = "AGS"\nsequence = "AGS"\n'
    with pytest.raises(InputError, match="not simulated"):
        load_suite(str(written(tmp_path, text))).simulations()


def test_test_and_validation_peptides_are_not_trained_on() -> None:
    suites = [load_suite(name) for name in SIMULATED]
    split = {name: set().union(*(sequences(s) for s in suites if s.split == name)) for name in ("train", "val", "test")}
    assert not split["train"] & (split["val"] | split["test"])
    assert not split["val"] & split["test"]


def test_training_peptides_have_every_amino_acid_everywhere() -> None:
    tetrapeptides = [s for s in sequences(load_suite("peptides-train-v1")) if len(s) == 4]
    assert len(tetrapeptides) >= 100
    assert all({sequence[place] for sequence in tetrapeptides} == AMINO_ACIDS for place in range(4))
    assert sequences(load_suite("peptides-train-v1")) == sequences(load_suite("peptides-train-600k-v1"))


def test_suites_are_frozen() -> None:
    """What a row means must not change under its id: a change of settings makes a new id, and a line here."""
    frozen = {
        line.split()[0]: line.split()[1]
        for line in (Path(__file__).parent / "frozen_suites.txt").read_text().splitlines()
    }
    suites = [load_suite(name) for name in suite_ids()]
    assert {suite.id: suite.digest()[:16] for suite in suites if not suite.draft} == frozen


def test_references_are_what_was_simulated(tiny: Tiny) -> None:
    """Superposed, in angstrom, to the 0.01 A that XTC keeps; the native is frame 0 of replica 1."""
    suite = load_suite(str(tiny.suite))
    reference = reference_reader(suite, tiny.data)("KDE")
    assert reference.tier == "md-implicit"
    assert reference.numbers == (1, 2)
    assert reference.target.sequence == "KDE"
    assert [len(replica) for replica in reference.replicas] == [31, 31]
    assert np.allclose(reference.replicas[0][0], reference.target.native, atol=0.01)
    with np.load(tiny.work / "KDE_R2" / "frames.npz") as frames:
        simulated = frames["positions"]
    assert simulated.shape == reference.replicas[1].shape
    inner = [np.linalg.norm(x[:, :, None] - x[:, None], axis=-1) for x in (simulated, reference.replicas[1])]
    assert np.abs(inner[0] - inner[1]).max() < 0.03


def test_a_folder_of_folders_holds_the_suites_own(tiny: Tiny, tmp_path: Path) -> None:
    suite = load_suite(str(tiny.suite))
    (tmp_path / suite.id).symlink_to(tiny.data)
    (tmp_path / "KDE").mkdir()
    inner, own = (reference_reader(suite, folder)("KDE") for folder in (tmp_path, tiny.data))
    np.testing.assert_array_equal(inner.replicas[0], own.replicas[0])


def test_a_reference_that_is_not_there_or_broken_or_anothers(tiny: Tiny, tmp_path: Path) -> None:
    suite = load_suite(str(tiny.suite))
    with pytest.raises(InputError, match=r"no molecular dynamics of AGS in .*expected AGS\.pdb"):
        reference_reader(suite, tmp_path)("AGS")
    with pytest.raises(InputError, match="tiny-v1 are not shipped: give --data, a folder in the ATLAS layout"):
        reference_reader(suite)
    with pytest.raises(InputError, match="unknown target 'AGG'; did you mean AGS"):
        reference_reader(suite, tiny.data)("AGG")
    folder = tmp_path / "AGS"
    folder.mkdir()
    for path in (tiny.data / "AGS").glob("AGS*"):
        (folder / path.name).write_bytes(path.read_bytes())
    trajectory = folder / "AGS_prod_R2_fit.xtc"
    whole = trajectory.read_bytes()
    trajectory.unlink()
    with pytest.raises(
        InputError, match=r"AGS: frames of each replica are \{1: 31\}, but tiny-v1 says \{1: 31, 2: 31\}"
    ):
        reference_reader(suite, tmp_path)("AGS")
    trajectory.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"AGS_prod_R2_fit\.xtc"):
        reference_reader(suite, tmp_path)("AGS")
    for path in (tiny.data / "KDE").glob("KDE*"):
        (folder / path.name.replace("KDE", "AGS")).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="AGS: holds KDE, but tiny-v1 says AGS"):
        reference_reader(suite, tmp_path)("AGS")


@pytest.mark.parametrize("suite_id", WITH_MD)
def test_embedded_references_are_the_suites(suite_id: str) -> None:
    suite = load_suite(suite_id)
    root = EMBEDDED / suite_id
    read = reference_reader(suite, root)
    for target in suite.targets[:: max(1, len(suite.targets) // 8)]:
        assert np.isfinite(read(target.name).target.native).all()
        told = json.loads((root / target.name / "provenance.json").read_text())
        assert [one["digest"] for one in told] == [one.digest() for one in suite.simulations(target.name)]


@pytest.mark.parametrize(
    "suite", [pytest.param(name, marks=pytest.mark.slow) if "train" in name else name for name in WITH_MD]
)
def test_every_embedded_replica_is_of_l_amino_acids(suite: str) -> None:
    """In the first frame and the last: a start that runs through itself can turn a centre over."""
    read = reference_reader(load_suite(suite), EMBEDDED / suite)
    for target in load_suite(suite).targets:
        reference = read(target.name)
        atoms = reference.target.atoms
        at = {(int(r), str(n)): k for k, (r, n) in enumerate(zip(atoms.residue, atoms.name, strict=True))}
        for residue, letter in enumerate(target.sequence):
            for centre, a, b, c in (("CA", "N", "C", "CB"), ("CB", "CA", "OG1", "CG2"), ("CB", "CA", "CG1", "CG2")):
                # The two methyls of valine make no handedness.
                if (letter, centre) == ("V", "CB") or not {(residue, name) for name in (centre, a, b, c)} <= at.keys():
                    continue
                rows = [at[residue, name] for name in (centre, a, b, c)]
                for replica in reference.replicas:
                    o, p, q, w = replica[[0, -1]][:, rows].transpose(1, 0, 2)
                    volume = np.einsum("fi,fi->f", np.cross(p - o, q - o), w - o)
                    assert (volume > 0).all(), f"{target.name} {letter}{residue + 1} {centre}"


@pytest.mark.parametrize("sequence", ["AXS", "G", "ags", "A-S", "AUS", "A*"])
def test_a_sequence_that_is_no_peptide_of_the_twenty_is_refused_before_it_is_simulated(
    sequence: str, tmp_path: Path
) -> None:
    (tmp_path / "odd-v1.toml").write_text(SUITE.replace('sequence = "AGS"', f'sequence = "{sequence}"'))
    with pytest.raises(InputError) as refused:
        load_suite(str(tmp_path / "odd-v1.toml")).simulations()
    assert "sequence" in f"{refused.value.code} {refused.value}"


def test_references_are_made_when_they_are_as_long_as_the_suite_says(tiny: Tiny, tmp_path: Path) -> None:
    assert references_made(load_suite(str(tiny.suite)), tiny.data) == 3
    longer = load_suite(str(written(tmp_path, SUITE.replace("nanoseconds = 0.03", "nanoseconds = 0.04"))))
    assert references_made(longer, tiny.data) == 0
    draft = load_suite(str(written(tmp_path, SUITE.replace("samples = 12", "samples = 12\ndraft = true"))))
    assert references_made(draft, tmp_path) == 0


def test_peptides_v2_are_the_names_of_the_field() -> None:
    """No name is in two splits; all are of four amino acids."""
    splits = ("v2", "val-v2", "train-v2", "sequences-v2", "train-600k-v2")
    suites = [load_suite(f"peptides-{split}") for split in splits]
    test, val, train, without_md, hot = ([target.sequence for target in suite.targets] for suite in suites)
    assert (len(test), len(val), len(train), len(without_md)) == (54, 20, 1000, 1000)
    assert train == hot
    assert len(set(test + val + train + without_md)) == 2074
    assert all(len(name) == 4 and set(name) <= AMINO_ACIDS for name in test + val + train + without_md)
    seeds = [one.seed for suite in suites for one in suite.simulations()]
    assert len(set(seeds)) == len(seeds)
