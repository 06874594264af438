"""Held-out targets: who they are, when training stops for them, and which weights the checkpoint holds."""

import csv
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_training import KilledError, Line
from torch import Tensor, nn

from ebabench.errors import InputError
from ebabench.training.batches import Example
from ebabench.training.denoiser import Condition, Prepared
from ebabench.training.loop import TrainConfig, train
from ebabench.training.validation import LEVELS, is_held_out, split

NAMES = [f"target{k}" for k in range(12)]
SETTINGS = {"objective": "sft", "steps": 40, "batch_residues": 64, "held_out": 0.4, "validate_every": 5, "seed": 1}


def _config(**settings: Any) -> TrainConfig:
    return TrainConfig(**{**SETTINGS, "precision": "float32", "learning_rate": 0.02, "warmup": 0, **settings})


def _examples(spread: float = 0.1, offset: float = 3.0) -> list[Example]:
    """Targets that train lie around ``offset``, those that validate around zero."""
    generator = torch.Generator().manual_seed(5)
    examples = []
    for name in NAMES:
        centre = 0.0 if is_held_out(name, SETTINGS["held_out"]) else offset
        points = centre + spread * torch.randn(30, 1, 1, generator=generator)
        examples.append(Example(Prepared(name, points, {"one": torch.ones(2)}), points[:, 0, 0] ** 2))
    return examples


def _validations(folder: Path) -> dict[int, list[dict[str, float]]]:
    found: dict[int, list[dict[str, float]]] = {}
    with (folder / "validation.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(int(row["step"]), []).append({name: float(value) for name, value in row.items()})
    return found


def test_more_targets_leave_the_others_where_they_are() -> None:
    before = {name: is_held_out(name, 0.3) for name in NAMES}
    assert 0 < sum(before.values()) < len(NAMES)
    training, held_out = split(_examples(), 0.3)
    assert {one.prepared.target: False for one in training} | {one.prepared.target: True for one in held_out} == before
    assert all(is_held_out(name, 0.6) for name, held in before.items() if held)
    many = [is_held_out(f"{k:x}", 0.1) for k in range(20_000)]
    assert sum(many) / len(many) == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 20_000))


@pytest.mark.parametrize("fraction", [1e-9, 1 - 1e-9])
def test_both_parts_need_a_target(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(InputError) as raised:
        train(Line(), _examples(), _config(held_out=fraction), tmp_path, {})
    assert raised.value.code == "training.held_out"


def test_the_checkpoint_is_of_the_step_of_least_validation_loss_and_training_stops_after_it(tmp_path: Path) -> None:
    """What fits targets that lie elsewhere is worse and worse for those that are held out."""
    said: list[str] = []
    start = Line()
    before = {name: value.clone() for name, value in start.network.state_dict().items()}
    kept = load_file(train(start, _examples(), _config(patience=3), tmp_path / "stopped", {}, remark=said.append))
    found = _validations(tmp_path / "stopped")
    values = {step: rows[0]["value"] for step, rows in found.items()}
    best = min(values, key=lambda step: values[step])
    assert max(values) == best + 3 * 5 < 40
    assert f"step {best} " in said[0]
    if best == 0:
        assert all(torch.equal(kept[name], before[name]) for name in before)
    assert all(len(rows) == LEVELS for rows in found.values())
    assert found[max(values)][-3]["training"] < found[0][-3]["training"]
    assert found[max(values)][-3]["held_out"] > found[0][-3]["held_out"]


def test_without_patience_training_goes_on_and_keeps_the_best(tmp_path: Path) -> None:
    train(Line(), _examples(), _config(), tmp_path / "all", {})
    train(Line(), _examples(), _config(patience=3), tmp_path / "stopped", {})
    assert max(_validations(tmp_path / "all")) == 40
    kept = [load_file(tmp_path / name / "model.safetensors") for name in ("all", "stopped")]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_a_loss_that_falls_everywhere_keeps_the_last_step(tmp_path: Path) -> None:
    said: list[str] = []
    train(Line(), _examples(offset=0.0), _config(patience=20), tmp_path, {}, remark=said.append)
    values = [rows[0]["value"] for rows in _validations(tmp_path).values()]
    assert values[-1] < values[0]
    assert len(said) == 1


def test_targets_that_are_held_out_do_not_train(tmp_path: Path) -> None:
    examples = _examples()
    moved = [
        Example(Prepared(one.prepared.target, one.prepared.coordinates + 9, one.prepared.condition), one.energies)
        if is_held_out(one.prepared.target, 0.4)
        else one
        for one in examples
    ]
    for name, data in (("one", examples), ("two", moved)):
        train(Line(), data, _config(), tmp_path / name, {})
    assert (tmp_path / "one/log.csv").read_text() == (tmp_path / "two/log.csv").read_text()
    assert (tmp_path / "one/validation.csv").read_text() != (tmp_path / "two/validation.csv").read_text()


@pytest.mark.parametrize("objective", ["sft", "eba"])
@pytest.mark.parametrize("at", [2, 13, 24])
def test_a_killed_training_validates_and_stops_as_an_undisturbed_one(tmp_path: Path, objective: str, at: int) -> None:
    config = _config(objective=objective, patience=3, checkpoint_every=7)

    def kill(step: int, _loss: float) -> None:
        if step == at:
            raise KilledError

    whole = train(Line(), _examples(), config, tmp_path / "whole", {})
    with suppress(KilledError):  # it may have stopped before
        train(Line(), _examples(), config, tmp_path / "killed", {}, kill)
    resumed = train(Line(), _examples(), config, tmp_path / "killed", {})
    assert resumed.read_bytes() == whole.read_bytes()
    for name in ("log.csv", "validation.csv"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()


class Dropping(Line):
    """The denoiser of points on a line, with a dropout layer."""

    def __init__(self) -> None:
        super().__init__()
        first, tanh, last = self.network
        self.network = nn.Sequential(first, tanh, nn.Dropout(0.0), last)
        self.seen: list[bool] = []

    def loss(self, coordinates: Tensor, condition: Condition, level: Tensor, noise: Tensor) -> Tensor:
        self.seen.append(self.network.training)
        return super().loss(coordinates, condition, level, noise)

    def save(self, path: Path, provenance: Any) -> None:
        save_file({k: v.contiguous() for k, v in self.network.state_dict().items()}, path)


def test_dropout_acts_in_training_only_and_a_resumed_run_drops_the_same_units(tmp_path: Path) -> None:
    denoiser = Dropping()
    logs = {}
    for dropout in (0.0, 0.5):
        train(denoiser := Dropping(), _examples(), _config(dropout=dropout, steps=10), tmp_path / str(dropout), {})
        logs[dropout] = (tmp_path / str(dropout) / "log.csv").read_text()
        assert {True, False} == set(denoiser.seen)
    assert logs[0.0] != logs[0.5]

    def kill(step: int, _loss: float) -> None:
        if step == 7:
            raise KilledError

    config = _config(dropout=0.5, steps=10, checkpoint_every=4)
    with pytest.raises(KilledError):
        train(Dropping(), _examples(), config, tmp_path / "killed", {}, kill)
    torch.manual_seed(99)
    train(Dropping(), _examples(), config, tmp_path / "killed", {})
    assert (tmp_path / "killed/log.csv").read_text() == logs[0.5]


def test_dropout_of_a_network_without_such_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        train(Line(), _examples(), _config(dropout=0.1), tmp_path, {})
    assert raised.value.named["setting"] == "dropout"


@pytest.mark.parametrize("steps", [100, 400, 4000])
def test_the_moving_average_forgets_where_it_started(steps: int) -> None:
    """What is left of the initial weights is e^-10 at the default window, however few steps there are."""
    config = TrainConfig(objective="eba", steps=steps)
    assert sum(math.log(max(config.decay(step), 1e-30)) for step in range(steps)) < -9.9
    unlimited = TrainConfig(objective="eba", steps=steps, ema_window=0.0)
    assert unlimited.decay(0) == unlimited.ema == 0.999
    assert TrainConfig(objective="eba", steps=10**6).decay(0) == 0.999


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"held_out": 1.0}, "held_out"),
        ({"held_out": -0.1}, "held_out"),
        ({"held_out": 0.0, "patience": 3}, "patience"),
        ({"validate_every": 0}, "validate_every"),
        ({"dropout": 1.0}, "dropout"),
        ({"ema_window": -1.0}, "ema_window"),
        ({"precision": "float16"}, "precision"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], setting: str) -> None:
    with pytest.raises(InputError) as raised:
        _config(**settings)
    assert (raised.value.code, raised.value.named["setting"]) == ("setting.value", setting)


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("flags: avx2 avx512f", "float32"),
        ("flags: avx512f avx512_bf16", "bfloat16"),
        ("flags: amx_bf16", "bfloat16"),
        (None, "float32"),
    ],
)
def test_precision_follows_the_machine_unless_it_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str | None, precision: str
) -> None:
    file = tmp_path / "cpuinfo"
    if flags is not None:
        file.write_text(flags)
    monkeypatch.setattr("ebabench.training.config.CPU_FLAGS", file)
    assert TrainConfig().on("cpu").precision == precision
    assert TrainConfig(precision="bfloat16").on("cpu").precision == "bfloat16"


def test_a_run_records_the_precision_it_had(tmp_path: Path) -> None:
    train(Line(), _examples(), _config(precision="auto", steps=1), tmp_path, {})
    assert '"precision": "auto"' not in (tmp_path / "config.json").read_text()
