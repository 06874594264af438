"""What `ebabench inspect` says of a folder is what scoring reads of it; refusals are told with their remedies."""

import json
import sys
from pathlib import Path

import pytest
from command import Called

sys.path.append(str(Path(__file__).parents[1] / "io"))
from layout_files import cif, pdb, physicality, text, trajectory

import ebabench as api
from ebabench.datasets.suites import load_suite
from ebabench.errors import InputError
from ebabench.workflows.inspect import inspect

KLED, GAPF = "KLED", "GAPF"


def bioemu(folder: Path) -> None:
    trajectory(folder / "samples.xtc", 0, 8, KLED)
    cif(folder / "topology.cif", 0, 1, KLED)
    physicality(folder / "physicality.json", {0, 5}, 8)


def test_what_is_read_of_a_target(tmp_path: Path) -> None:
    bioemu(tmp_path / KLED)
    (one,) = inspect(tmp_path, "peptides-v1").targets
    assert (one.target, one.layout, one.fits, one.refused) == (KLED, "BioEmu 2", (KLED,), "")
    assert [Path(path).name for path in one.files] == ["samples.xtc", "topology.cif", "physicality.json"]
    assert (one.conformations, one.rejected, one.residues, one.weights) == (6, {"clashes": 2}, 4, False)
    assert (one.sequence, one.hydrogens, one.backbone_only) == (KLED, 0, False)
    assert one.atoms == 34
    assert "4 residues" in one.chains


def test_without_a_suite_files_name_the_targets(tmp_path: Path) -> None:
    bioemu(tmp_path / "anything")
    (one,) = inspect(tmp_path).targets
    assert (one.target, one.fits, one.refused) == ("anything", (), "")


def test_backbones_and_hydrogens_are_told(tmp_path: Path) -> None:
    pdb(tmp_path / "a.pdb", 0, 4, KLED, ("N", "CA", "C", "O", "CB"))
    whole = pdb(tmp_path / "b.pdb", 0, 4, KLED).read_text()
    hydrogen = "ATOM   9999  H   LYS A   1      50.000   0.000   0.000  1.00  0.00           H\n"
    (tmp_path / "b.pdb").write_text(whole.replace("TER\n", hydrogen + "TER\n"))
    first, second = inspect(tmp_path).targets
    assert (first.backbone_only, second.backbone_only) == (True, False)
    assert (first.hydrogens, second.hydrogens) == (0, 1)


def test_refusals_are_told_target_by_target(tmp_path: Path) -> None:
    pdb(tmp_path / f"{KLED}.pdb", 0, 1, KLED)
    trajectory(tmp_path / GAPF / "run.xtc", 0, 5, GAPF)
    pdb(tmp_path / "SWTV.pdb", 0, 5, GAPF)
    pdb(tmp_path / "stranger.pdb", 0, 5, "WWWWWW")
    found = inspect(tmp_path, "peptides-v1")
    refused = {one.target: one.refused for one in found.targets}
    assert list(refused) == [GAPF, KLED, "SWTV", ""]
    assert "two or more" in refused[KLED]
    assert "topology" in refused[GAPF]
    assert "sequence" in refused["SWTV"]
    assert "fits no target" in refused[""]
    assert {one.target: one.fits for one in found.targets}["SWTV"] == (GAPF,)
    assert "YQNR" in found.missing


def test_what_is_told_is_what_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reference = load_suite("peptides-v1").reference(KLED)
    bioemu(tmp_path / "e" / KLED)
    inspected = api.inspect("e", "peptides-v1").targets[0]
    result = api.score("e", reference, metrics=["rmsf"], floor=False)
    assert result.record.n_samples == inspected.conformations


def test_the_command_prints_json_and_ends_with_1_if_something_would_be_refused(tmp_path: Path, called: Called) -> None:
    bioemu(tmp_path / "e" / KLED)
    status, output, errors = called("inspect", "e", "--suite", "peptides-v1", "--json")
    assert (status, errors) == (0, "")
    plain = json.loads(output)
    assert plain["targets"][0]["conformations"] == 6
    assert plain["targets"][0]["rejected"] == {"clashes": 2}
    status, output, errors = called("inspect", "e", "--suite", "peptides-v1")
    assert status == 0
    assert "BioEmu 2" in output
    assert "2 frames that the generator rejects" in output
    pdb(tmp_path / "e" / "GAPF.pdb", 0, 1, GAPF)
    status, output, errors = called("inspect", "e", "--suite", "peptides-v1")
    assert status == 1
    assert "1 of 2 would be refused" in errors


def test_nothing_to_read_ends_with_2(tmp_path: Path, called: Called) -> None:
    text(tmp_path / "e" / "notes.txt", "nothing")
    for path in ("e", "nowhere"):
        status, _, errors = called("inspect", path)
        assert status == 2
        assert path in errors


def test_a_frame_per_target(tmp_path: Path) -> None:
    bioemu(tmp_path / KLED)
    assert inspect(tmp_path).to_frame().loc[KLED, "conformations"] == 6


def test_a_suite_and_a_reference_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        inspect(tmp_path, "peptides-v1", reference=tmp_path)
    assert error.value.code == "inspect.reference"
