"""What to generate for a suite, in the formats that generators take: nothing is lost, and nothing overwritten."""

import csv
import io
import json
from pathlib import Path

import pytest
from command import Called

from ebabench.datasets.suites import load_suite
from ebabench.errors import InputError
from ebabench.workflows.export_targets import export_targets, target_files

SUITE = load_suite("peptides-v1")
SEQUENCES = {target.name: target.sequence for target in SUITE.targets}


def one(form: str) -> str:
    (text,) = target_files(SUITE, form).values()
    return text


def test_fasta() -> None:
    from Bio import SeqIO

    records = {record.id: str(record.seq) for record in SeqIO.parse(io.StringIO(one("fasta")), "fasta")}
    assert records == SEQUENCES


def test_csv_has_the_columns_that_alphaflow_reads() -> None:
    rows = list(csv.DictReader(io.StringIO(one("csv"))))
    assert {row["name"]: row["seqres"] for row in rows} == SEQUENCES
    assert {int(row["samples"]) for row in rows} == {SUITE.samples}


def test_json() -> None:
    plain = json.loads(one("json"))
    assert {target["name"]: target["sequence"] for target in plain["targets"]} == SEQUENCES
    assert (plain["suite"], plain["samples"], plain["seed"]) == (SUITE.id, SUITE.samples, SUITE.seed)


def test_a_command_of_bioemu_per_target() -> None:
    lines = [line for line in one("bioemu").splitlines() if "bioemu.sample" in line]
    assert len(lines) == len(SEQUENCES)
    assert all(
        sequence in line and name in line for line, (name, sequence) in zip(lines, SEQUENCES.items(), strict=True)
    )


def test_alphafold3_has_seeds_enough() -> None:
    files = target_files(SUITE, "af3")
    assert files.keys() == {f"{name}.json" for name in SEQUENCES}
    plain = json.loads(files["KLED.json"])
    assert plain["sequences"][0]["protein"]["sequence"] == SEQUENCES["KLED"]
    assert 5 * len(plain["modelSeeds"]) >= SUITE.samples
    assert (plain["dialect"], plain["name"]) == ("alphafold3", "KLED")


def test_boltz_is_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    plain = yaml.safe_load(target_files(SUITE, "boltz")["KLED.yaml"])
    assert plain["sequences"][0]["protein"] == {"id": "A", "sequence": SEQUENCES["KLED"]}


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(InputError) as error:
        target_files(SUITE, "yaml")
    assert error.value.code == "unknown.format"


@pytest.mark.parametrize("form", ["fasta", "boltz"])
def test_nothing_is_overwritten(tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    paths = export_targets(SUITE, form, out)
    assert export_targets(SUITE, form, out) == paths  # the same again is no harm
    paths[-1].write_text("mine")
    with pytest.raises(InputError) as error:
        export_targets(SUITE, form, out)
    assert error.value.code == "targets.exists"
    assert paths[-1].read_text() == "mine"


def test_the_command(tmp_path: Path, called: Called) -> None:
    status, output, _ = called("targets", "--suite", "peptides-v1", "--format", "csv")
    assert (status, output) == (0, one("csv"))
    assert called("targets", "--suite", "peptides-v1", "--format", "af3")[0] == 2
    status, output, _ = called("targets", "--suite", "peptides-v1", "--format", "af3", "--out", "in")
    assert status == 0
    assert len(list((tmp_path / "in").iterdir())) == len(SEQUENCES)
