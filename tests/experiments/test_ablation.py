"""The ablation of the compact model: an acceptance test of the library, which it calls as a user does."""

import csv

import pytest
from ablation import Ablation, Row, draw_figure, write_table

from ebabench import InputError

pytestmark = pytest.mark.slow
SUITE = "peptides-val-v1"
FEW = {"steps": 2, "checkpoint_every": 1, "learning_rate": 1e-3, "warmup": 0, "draws": 2}
TRAINING = """
id = "peptides-train-v1"
title = "Three of the training peptides"
split = "train"
family = "peptides"
tier = "md-implicit"
protocol = "corrected"
energy = "amber99sbildn-obc"
samples = 250
seed = 1
"""
SEQUENCES = ("RYEMQHKVT", "WANLGLAK", "PIFRWSQI")


@pytest.fixture(scope="module")
def ablation(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablation")
    suite = out / "peptides-train-v1.toml"
    suite.write_text(TRAINING + "".join(f'[[targets]]\nname = "{name}"\nsequence = "{name}"\n' for name in SEQUENCES))
    rows = (
        Row("sft-v1"),
        Row("aligned", "eba", suites=(str(suite),), own="sft-v1", settings={**FEW, "reference": True}),
        Row("again", "eba", start="aligned", suites=(str(suite),), own="aligned", settings=FEW),
    )
    made = Ablation(out, rows, (SUITE,), samples=8)
    for row in rows:
        made.make(row)
    return made


def test_rows_differ_from_the_baseline_and_the_baseline_not_from_itself(ablation, tmp_path):
    differences = {SUITE: ablation.differences(SUITE)}
    write_table(differences, tmp_path / "ablation.csv")
    draw_figure(differences, tmp_path / "ablation.svg")
    with (tmp_path / "ablation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["row"] for row in rows} == {"sft-v1", "aligned", "again"}
    assert all(float(row["difference"]) == 0 for row in rows if row["row"] == "sft-v1")
    moved = [row for row in rows if row["row"] != "sft-v1" and row["metric"] == "energy_w1"]
    assert all(float(row["difference"]) for row in moved)
    assert moved[0]["value"] != moved[1]["value"]
    assert not any(row["better"] for row in rows), "four targets allow no verdict"
    assert "aligned" in (tmp_path / "ablation.svg").read_text()


def test_what_is_there_stays(ablation):
    weights = ablation.out / "aligned" / "model.safetensors"
    summary = ablation.folder(ablation.rows[1], SUITE) / "summary.csv"
    before = weights.read_bytes(), summary.read_bytes()
    ablation.make(ablation.rows[1])
    assert (weights.read_bytes(), summary.read_bytes()) == before


def test_a_row_is_not_built_on_the_shipped_model_of_its_name(tmp_path):
    rows = (Row("eba", "eba"), Row("next", "eba", start="eba", settings=FEW))
    with pytest.raises(InputError) as refused:
        Ablation(tmp_path, rows, (SUITE,)).make(rows[1])
    assert refused.value.code == "align.start"
