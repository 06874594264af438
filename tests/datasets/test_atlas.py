"""The suites of ATLAS, and scoring against chains as they lie once fetched."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from command import Called
from proteins import build, wobble
from server import chain_files

from ebabench.datasets.layout import folder_tier, replica_files
from ebabench.datasets.references import read_reference
from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.errors import InputError
from ebabench.io.structure_files import write_pdb
from ebabench.structures import Ensemble

TEST, VAL, TRAIN = (load_suite(f"atlas-{split}-v1") for split in ("test", "val", "train"))
SHORTEST = min(TEST.targets, key=lambda target: len(target.sequence))
PROTEIN, ANALYSIS = "{}_prod_R{}_fit.xtc", "{}_R{}.xtc"


def test_the_splits_are_by_date() -> None:
    """Those of AlphaFlow (Jing et al., 2024): 1,266, 39 and 82 chains, cut on 1 May 2018 and 1 May 2019."""
    assert [len(suite.targets) for suite in (TRAIN, VAL, TEST)] == [1266, 39, 82]
    days = {suite.split: sorted(str(target.released) for target in suite.targets) for suite in (TRAIN, VAL, TEST)}
    assert days["train"][-1] < "2018-05-01" <= days["val"][0]
    assert days["val"][-1] < "2019-05-01" <= days["test"][0]


def test_what_is_asked_is_the_published_protocol() -> None:
    for suite in (TRAIN, VAL, TEST):
        assert (suite.tier, suite.samples, suite.protocol, suite.energy) == ("atlas-protein", 250, "corrected", None)
        assert suite.frames(suite.targets[0].name) == {1: 10_001, 2: 10_001, 3: 10_001}
        assert all(len(target.sequence) >= 38 for target in suite.targets)


def test_no_chain_is_in_two_splits_but_one_sequence_is() -> None:
    """7e2s_A (test) and 1y6i_A (training) are one protein, a fault of the published split (docs/how-to/atlas.md)."""
    names = Counter(target.name for suite in (TRAIN, VAL, TEST) for target in suite.targets)
    assert max(names.values()) == 1
    by_split = {suite.split: {t.sequence: t.name for t in suite.targets} for suite in (TRAIN, VAL, TEST)}
    shared = by_split["train"].keys() & by_split["test"].keys()
    assert [(by_split["train"][s], by_split["test"][s]) for s in shared] == [("1y6i_A", "7e2s_A")]
    assert not by_split["val"].keys() & (by_split["train"].keys() | by_split["test"].keys())
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "atlas.md").read_text()
    assert "7e2s_A" in text


def placed(root: Path, name: str, files: dict[str, bytes]) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        (root / name / file).write_bytes(data)


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shortest chain of the test split as in an analysis archive, with all heavy atoms."""
    root = tmp_path_factory.mktemp("analysis")
    files = chain_files(root, SHORTEST.name, SHORTEST.sequence, 1001, ANALYSIS, only_ca=False)
    placed(root / "data", SHORTEST.name, files)
    return root / "data"


@pytest.fixture(scope="module")
def protein(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its C-alphas as in a protein archive."""
    root = tmp_path_factory.mktemp("protein")
    placed(root / "data", SHORTEST.name, chain_files(root, SHORTEST.name, SHORTEST.sequence, 10_001, PROTEIN))
    return root / "data"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    target = build(SHORTEST.sequence)
    made = Ensemble(SHORTEST.name, target.atoms, wobble(target, 250, seed=9))
    write_pdb(made, folder / f"{SHORTEST.name}.pdb")
    return folder


def record(run: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((run / "records" / f"{SHORTEST.name}.json").read_text())
    return loaded


SCORING = ["score", "--name", "x", "--jobs", "1", "--ensembles"]


@pytest.mark.slow
def test_a_chain_is_scored_on_the_suite_and_the_rest_is_called_missing(
    protein: Path, model: Path, called: Called
) -> None:
    on = ["--suite", "atlas-test-v1", "--data", str(protein)]
    code, _, told = called(*SCORING, str(model), *on, "--out", "x")
    assert code == 0, told
    found = record(Path("x"))
    assert (found["tier"], found["n_reference_frames"], found["n_samples"]) == ("atlas-protein", 30_003, 250)
    with Path("runs", "leaderboards", "atlas-test-v1.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    (measured,) = (line for line in lines if line["model"] == "x")
    assert (measured["status"], measured["targets"]) == ("incomplete", "1/82")
    assert {line["status"] for line in lines} == {"incomplete", "quoted"}
    code, said, told = called("run", "--model", "static", *on)
    assert code == 0, told
    assert "and 76 more" in said  # 81 chains are not on disk, five of them are named


@pytest.mark.slow
def test_tiers_do_not_meet_in_a_table(analysis: Path, model: Path, called: Called) -> None:
    code, _, told = called(*SCORING, str(model), "--reference", str(analysis), "--out", "x")
    assert code == 0, told
    found = record(Path("x"))
    assert (found["tier"], found["n_reference_frames"]) == ("atlas-analysis", 3003)
    code, _, told = called(*SCORING, str(model), "--suite", "atlas-test-v1", "--data", str(analysis), "--out", "y")
    assert (code, told.count("\n")) == (2, 1), told


def test_without_data_the_way_to_it_is_told() -> None:
    with pytest.raises(InputError, match=r"not shipped: give --data, .*ebabench fetch atlas --split val"):
        reference_reader(VAL)


@pytest.mark.slow
def test_the_layouts_of_both_tiers_are_read(analysis: Path, protein: Path, tmp_path: Path) -> None:
    name = SHORTEST.name
    assert [path.name for path in replica_files(analysis, name, "atlas-analysis").values()] == [
        f"{name}_R{k}.xtc" for k in (1, 2, 3)
    ]
    assert replica_files(analysis, name, "atlas-protein") == replica_files(protein, name, "atlas-analysis") == {}
    read = read_reference(analysis, name, "atlas-analysis")
    assert [len(frames) for frames in read.replicas] == [1001] * 3
    assert (folder_tier(analysis, [name]), folder_tier(protein, [name])) == ("atlas-analysis", "folder")
    shutil.copytree(analysis / name, tmp_path / name)
    shutil.copytree(protein / name, tmp_path / name, dirs_exist_ok=True)
    with pytest.raises(InputError, match="mixes tiers"):
        folder_tier(tmp_path, [name])


def test_a_reference_of_the_wrong_length_is_refused(protein: Path, tmp_path: Path) -> None:
    files = chain_files(tmp_path, SHORTEST.name, SHORTEST.sequence, 1001, PROTEIN)
    placed(tmp_path / "data", SHORTEST.name, files)
    with pytest.raises(InputError, match=r"frames of each replica are .*1001.*atlas-test-v1 says .*10001"):
        reference_reader(TEST, tmp_path / "data")(SHORTEST.name)


@pytest.mark.slow
def test_a_model_runs_on_chains_of_atlas(protein: Path, called: Called, tmp_path: Path) -> None:
    """A suite of one's own, of one chain: sampling and scoring read what fetching leaves."""
    text = (
        'id = "one-v1"\ntitle = "One chain"\nsplit = "test"\nfamily = "atlas"\ntier = "atlas-protein"\n'
        f'protocol = "corrected"\nsamples = 20\nseed = 1\n[[targets]]\nname = "{SHORTEST.name}"\n'
        f'sequence = "{SHORTEST.sequence}"\nreleased = 2021-01-01\n'
    )
    (tmp_path / "one-v1.toml").write_text(text)
    code, _, told = called(
        "run", "--model", "md-replica", "--suite", "one-v1.toml", "--data", str(protein), "--jobs", "1"
    )
    assert code == 0, told
    run = Path("runs", "one-v1", "md-replica-s1-n20")
    # One replica is the model, the two others are what it is judged against.
    assert (record(run)["tier"], record(run)["n_reference_frames"]) == ("atlas-protein", 20_002)
    assert json.loads((run / "manifest.json").read_text())["identity"]["energy"] is None
    with Path("runs", "leaderboards", "one-v1.csv").open(newline="") as file:
        assert [line["model"] for line in csv.DictReader(file)] == ["(floor)", "md-replica"]
