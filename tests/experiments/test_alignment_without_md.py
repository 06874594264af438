"""The rows of the experiment on sequences without MD are trained on what their names say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ablation import Ablation
from alignment_seeds import CLAIMED, GUARDED, write
from alignment_without_md import ALIGNED, BASE, BOTH, SEQUENCES, TRAINING, WITHOUT, chain

from ebabench.datasets.suites import load_suite

HEAD = """
title = "Two"
split = "train"
family = "peptides"
tier = "md-implicit"
protocol = "corrected"
energy = "amber14-gbn2-restrained"
samples = 10
seed = 1
[simulation]
temperature_k = 350.0
nanoseconds = 3.3
frame_ps = 50.0
replicas = 1
forcefield = ["amber14-all.xml", "implicit/gbn2.xml"]
friction_per_ps = 0.3
"""


def few(suite_id: str, folder: Path) -> str:
    """The first two targets of a suite, under its id."""
    folder.mkdir()
    chosen = load_suite(suite_id).targets[:2]
    targets = "".join(f'[[targets]]\nname = "{one.name}"\nsequence = "{one.sequence}"\n' for one in chosen)
    (folder / f"{suite_id}.toml").write_text(f'id = "{suite_id}"\n{HEAD}{targets}')
    return str(folder / f"{suite_id}.toml")


@pytest.mark.slow
def test_a_row_is_aligned_on_own_samples_of_its_suites(tmp_path: Path) -> None:
    training, sequences = few(TRAINING, tmp_path / "with"), few(SEQUENCES, tmp_path / "without")
    rows = {
        name: replace(row, settings={**row.settings, "steps": 2, "warmup": 0, "precision": "float32"})
        for name, row in chain(2, training, sequences).items()
    }
    made = Ablation(tmp_path, list(rows.values()), (), own=8, baseline=BASE)
    for row in rows.values():
        made.make(row)
    told = {
        name: json.loads((tmp_path / row.name / "config.json").read_text())
        for name, row in rows.items()
        if name != BASE
    }
    assert {name: one["suites"] for name, one in told.items()} == {
        ALIGNED: [training], WITHOUT: [sequences], BOTH: [training, sequences]
    }  # fmt: skip
    assert len({one["data_sha256"] for one in told.values()}) == 3
    assert len({one["start_sha256"] for one in told.values()}) == 1
    assert not list(tmp_path.glob("*/left_out.csv"))
    logs = {name: pd.read_csv(tmp_path / rows[name].name / "log.csv") for name in told}
    assert all(np.isfinite(log.loss).all() for log in logs.values())


def test_every_row_is_tested_against_the_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    metrics = [*CLAIMED, *GUARDED]
    each = {
        name: [pd.DataFrame(rng.normal(shift, 1, (20, len(metrics))), columns=metrics) for _ in range(3)]
        for name, shift in ((BASE, 0.0), (ALIGNED, -5.0), (WITHOUT, -5.0))
    }
    write(each, [(WITHOUT, ALIGNED)], tmp_path / "figures" / "table")
    table = pd.read_csv(tmp_path / "figures" / "table.csv").set_index(["row", "against", "metric"])
    assert set(zip(*[table.index.get_level_values(k) for k in ("row", "against")], strict=True)) == {
        (ALIGNED, BASE), (WITHOUT, BASE), (WITHOUT, ALIGNED)
    }  # fmt: skip
    assert (table.loc[(ALIGNED, BASE)].p_holm < 0.01).all()
    assert (table.loc[(WITHOUT, ALIGNED)].p_holm > 0.01).all()
    assert ALIGNED in (tmp_path / "figures" / "table.svg").read_text()
