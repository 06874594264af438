"""The training loop: exact resume, refusals, and what a bad loss leaves behind."""

import copy
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ebabench.errors import InputError, RunError
from ebabench.structures import Target
from ebabench.structures.arrays import Positions
from ebabench.training.batches import Batches, Example
from ebabench.training.denoiser import Condition, Prepared
from ebabench.training.diffusion import Edm
from ebabench.training.loop import TrainConfig, train


class Line:
    """A denoiser of points on a line: one residue of one coordinate a conformation."""

    def __init__(self) -> None:
        self.process = Edm()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network: nn.Module = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))

    def prepare(self, target: Target, positions: Positions) -> Prepared:
        raise AssertionError

    def adopt_geometry(self, data: Iterable[tuple[Target, Positions]]) -> None:
        raise AssertionError

    def freeze(self) -> None:
        raise AssertionError

    def crop(self, coordinates: Tensor, condition: Condition, residues: Tensor) -> tuple[Tensor, Condition]:
        return coordinates[:, residues], condition

    def loss(self, coordinates: Tensor, condition: Condition, level: Tensor, noise: Tensor) -> Tensor:
        noisy = self.process.noised(coordinates, noise, level[:, None, None])
        told = level.log()[:, None, None].expand_as(noisy)
        guess = self.network(torch.cat([noisy, told], -1))
        return ((guess - coordinates) ** 2).mean(2) / coordinates.shape[1]

    def save(self, path: Path, provenance: Mapping[str, Any]) -> None:
        save_file({k: v.contiguous() for k, v in self.network.state_dict().items()}, path)


def _examples(targets: int = 3, frames: int = 20) -> list[Example]:
    generator = torch.Generator().manual_seed(5)
    return [
        Example(
            Prepared(f"t{k}", torch.randn(frames, 1 + k % 2, 1, generator=generator), {"one": torch.ones(2)}),
            torch.randn(frames, generator=generator),
        )
        for k in range(targets)
    ]


def _config(**settings: Any) -> TrainConfig:
    defaults = {"objective": "eba", "steps": 12, "batch_residues": 64, "precision": "float32", "checkpoint_every": 5}
    return TrainConfig(**{**defaults, **settings})


class KilledError(Exception):
    pass


@pytest.mark.parametrize("objective", ["sft", "eba", "eba-dpo"])
@pytest.mark.parametrize("at", [3, 7])
def test_a_killed_training_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path, objective: str, at: int) -> None:
    config = _config(objective=objective)

    def kill(step: int, _loss: float) -> None:
        if step == at:
            raise KilledError

    whole = train(Line(), _examples(), config, tmp_path / "whole", {})
    with pytest.raises(KilledError):
        train(Line(), _examples(), config, tmp_path / "killed", {}, kill)
    resumed = train(Line(), _examples(), config, tmp_path / "killed", {})
    assert resumed.read_bytes() == whole.read_bytes()
    assert (tmp_path / "killed/log.csv").read_text() == (tmp_path / "whole/log.csv").read_text()


def test_training_moves_the_weights(tmp_path: Path) -> None:
    before = copy.deepcopy(Line().network.state_dict())
    after = load_file(train(Line(), _examples(), _config(ema=0.5), tmp_path, {}))
    assert max(float((after[name] - before[name]).abs().max()) for name in before) > 1e-5


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    train(Line(), _examples(), _config(), tmp_path, {"data": "a"})
    kept = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="other settings or data"):
        train(Line(), _examples(), _config(), tmp_path, {"data": "b"})
    assert (tmp_path / "model.safetensors").read_bytes() == kept


def test_a_run_goes_on_under_another_command(tmp_path: Path) -> None:
    """More processes or a TensorBoard log make no other run of it; what it says of itself is what it began with."""
    train(Line(), _examples(), _config(), tmp_path, {"command": "first"})
    train(Line(), _examples(), _config(), tmp_path, {"command": "second"})
    assert '"command": "first"' in (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(InputError, match="other settings or data"):
        train(Line(), _examples(), _config(), tmp_path, {"command": "second"})


def test_a_run_of_a_version_with_fewer_settings_goes_on(tmp_path: Path) -> None:
    """What it did not have is at its default, and what it says of itself stays."""
    train(Line(), _examples(), _config(), tmp_path, {})
    path = tmp_path / "config.json"
    begun = json.loads(path.read_text())
    assert begun["train"].pop("within_basins") is False
    path.write_text(json.dumps(begun))
    train(Line(), _examples(), _config(), tmp_path, {})
    assert json.loads(path.read_text()) == begun
    begun["train"].pop("steps")  # of another number than the default
    path.write_text(json.dumps(begun))
    with pytest.raises(InputError, match="other settings or data"):
        train(Line(), _examples(), _config(), tmp_path, {})


def test_a_loss_that_is_not_finite_stops_and_names_the_batch(tmp_path: Path) -> None:
    examples = _examples(1)
    assert examples[0].energies is not None
    examples[0].energies[:] = torch.nan
    with pytest.raises(RunError, match=r"not finite at step 0 \(targets t0\)"):
        train(Line(), examples, _config(), tmp_path, {})
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("setting", ["learning_rate", "weight_decay", "clip", "beta", "alpha_t", "anchor"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_settings_are_finite(setting: str, value: float) -> None:
    with pytest.raises(InputError) as raised:
        _config(**{setting: value})
    assert raised.value.code == "setting.value"
    assert raised.value.named["setting"] == setting


def test_weights_that_are_not_finite_are_never_kept(tmp_path: Path) -> None:
    """The decay multiplies weights by 1 - rate * decay: they overflow while the loss before the step is finite."""
    with pytest.raises(RunError) as raised:
        train(Line(), _examples(), _config(weight_decay=1e38, learning_rate=10.0, checkpoint_every=1), tmp_path, {})
    assert raised.value.code == "training.not_finite"
    assert not (tmp_path / "model.safetensors").exists()
    if (tmp_path / "state.pt").exists():
        state = torch.load(tmp_path / "state.pt", weights_only=True)
        assert all(torch.isfinite(weights).all() for weights in state["network"].values())


def test_a_log_that_a_kill_left_behind_is_written_again(tmp_path: Path) -> None:
    train(Line(), _examples(), _config(), tmp_path, {})
    whole = (tmp_path / "log.csv").read_bytes()
    (tmp_path / "log.csv").unlink()
    train(Line(), _examples(), _config(), tmp_path, {})
    assert (tmp_path / "log.csv").read_bytes() == whole
    assert whole.count(b"\n") == 13


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_state_is_one_line(tmp_path: Path, damage: str) -> None:
    train(Line(), _examples(), _config(), tmp_path, {})
    path = tmp_path / "state.pt"
    data = path.read_bytes()
    other = {"network": {}, "average": {}, "optimiser": {}, "step": 1, "log": []}
    if damage == "other":
        torch.save(other, path)
    else:
        path.write_bytes({"cut": data[:-100], "flipped": b"\0" * 100 + data[100:], "empty": b""}[damage])
    with pytest.raises(InputError) as raised:
        train(Line(), _examples(), _config(), tmp_path, {})
    assert raised.value.code == "training.state"
    assert "\n" not in str(raised.value)


def test_energies_are_asked_for(tmp_path: Path) -> None:
    examples = [Example(example.prepared) for example in _examples()]
    with pytest.raises(InputError, match="needs energies"):
        train(Line(), examples, _config(), tmp_path, {})


def test_the_conformations_of_a_group_differ_and_keep_their_energies() -> None:
    examples = _examples(frames=4)
    batches = Batches(examples, 3, lambda _length: 50)
    generator = torch.Generator().manual_seed(0)
    by_name = {example.prepared.target: example for example in examples}
    for _ in range(5):
        batch = batches.draw(generator)
        assert batch.energies is not None
        for group, energies, name in zip(batch.coordinates, batch.energies, batch.targets, strict=True):
            assert len({tuple(c.flatten().tolist()) for c in group}) == 3
            known = by_name[name]
            assert known.energies is not None
            for coordinates, energy in zip(group, energies, strict=True):
                frame = (known.prepared.coordinates == coordinates).flatten(1).all(-1).nonzero().item()
                assert float(known.energies[int(frame)]) == float(energy)


def test_too_few_conformations() -> None:
    with pytest.raises(InputError, match="no target has the 3 conformations"):
        Batches(_examples(frames=2), 3, lambda _length: 1)


def test_every_residue_is_seen_equally_often() -> None:
    """Two targets of one residue, one of two: a batch is of the longer with odds 2 : 2."""
    batches = Batches(_examples(3), 1, lambda _length: 1)
    generator = torch.Generator().manual_seed(0)
    long = sum(batches.draw(generator).coordinates.shape[2] == 2 for _ in range(400))
    assert 160 < long < 240


def test_an_anchor_on_all_levels_is_the_loss_that_the_objective_sees(tmp_path: Path) -> None:
    """At alpha T 0 the value of EBA is ln K, and the rest is as often the mean loss as the anchor counts."""
    values = []
    for anchor in (0.0, 1.0, 3.0):
        out = tmp_path / str(anchor)
        config = _config(alpha_t=0.0, steps=1, anchor=anchor, anchor_sigma=0.0, crossed=True)
        train(Line(), _examples(), config, out, {})
        values.append(float((out / "log.csv").read_text().splitlines()[1].split(",")[1]))
    assert values[0] == pytest.approx(math.log(2), rel=1e-4)
    assert values[1] > values[0] + 0.01
    assert values[2] - values[0] == pytest.approx(3 * (values[1] - values[0]), rel=1e-3)
