"""Training at scale: killed processes, shared work, crops, a frozen trunk."""

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from proteins import STRAND, build
from safetensors.torch import load_file
from test_training import Line, _config, _examples
from torch import Tensor

from ebabench.errors import InputError, RunError
from ebabench.models.eba.denoiser import Config, InternalDenoiser
from ebabench.structures import Target
from ebabench.training.batches import Batches, Example, residues_of_crop
from ebabench.training.denoiser import Condition, Prepared, spread
from ebabench.training.diffusion import Edm
from ebabench.training.distributed import Alone, assemble
from ebabench.training.loop import TrainConfig, train
from ebabench.training.settings import configured


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code that may import from the tests."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}\n{code}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_training_killed_outright_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal\n"
        "from test_training import Line, _config, _examples\n"
        "from ebabench.training.loop import train\n"
        "def kill(step, _loss):\n    if step == 7: os.kill(os.getpid(), signal.SIGKILL)\n"
        "train(Line(), _examples(), _config(accumulate=2), pathlib.Path(sys.argv[1]), {}, kill)"
    )
    assert _python(code, str(tmp_path / "killed")).returncode == -signal.SIGKILL
    assert not (tmp_path / "killed/model.safetensors").exists()
    resumed = train(Line(), _examples(), _config(accumulate=2), tmp_path / "killed", {})
    whole = train(Line(), _examples(), _config(accumulate=2), tmp_path / "whole", {})
    assert resumed.read_bytes() == whole.read_bytes()


class Pairs:
    """Two threads in place of two processes."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2)
        self.given: list[Tensor] = [torch.empty(0), torch.empty(0)]


class Half(Alone):
    """One of them."""

    def __init__(self, pairs: Pairs, rank: int) -> None:
        super().__init__("cpu", rank, 2)
        object.__setattr__(self, "pairs", pairs)

    def total(self, values: Tensor) -> Tensor:
        pairs: Pairs = self.pairs  # type: ignore[attr-defined]
        pairs.given[self.rank] = values
        pairs.barrier.wait()
        summed = pairs.given[0] + pairs.given[1]
        pairs.barrier.wait()
        return summed


@pytest.mark.parametrize("objective", ["sft", "eba-dpo"])
def test_two_that_share_the_work_train_as_one_with_all_of_it(tmp_path: Path, objective: str) -> None:
    config = _config(objective=objective, accumulate=4)
    alone = train(Line(), _examples(), config, tmp_path / "one", {})
    pairs, models = Pairs(), [Line(), Line()]

    def run(rank: int) -> None:
        train(models[rank], _examples(), config, tmp_path / "two", {}, team=Half(pairs, rank))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together, expected = load_file(tmp_path / "two/model.safetensors"), load_file(alone)
    for name, value in expected.items():
        torch.testing.assert_close(together[name], value, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(models[1].network.state_dict()[name], models[0].network.state_dict()[name])


def test_processes_that_fabric_starts_train_as_one(tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric")
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys, pathlib; sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}\n"
        "from test_training import Line, _config, _examples\n"
        "from ebabench.training.distributed import assemble\n"
        "from ebabench.training.loop import train\n"
        "out, team = pathlib.Path(sys.argv[1]), assemble('cpu', 2)\n"
        "train(Line(), _examples(), _config(accumulate=2), out, {}, team=team)\n"
    )
    done = subprocess.run([sys.executable, script, tmp_path / "two"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    together = load_file(tmp_path / "two/model.safetensors")
    for name, value in load_file(train(Line(), _examples(), _config(accumulate=2), tmp_path / "one", {})).items():
        torch.testing.assert_close(together[name], value, atol=1e-6, rtol=1e-5)


def test_work_that_cannot_be_shared_evenly_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 processes cannot share accumulate = 3"):
        train(Line(), _examples(), _config(accumulate=3), tmp_path, {}, team=Half(Pairs(), 0))


def test_devices_that_are_not_there_are_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has them")
    for count in (1, 2):
        with pytest.raises(InputError, match="CUDA"):
            assemble("cuda", count)


def test_kinds_of_devices_that_there_are_not_are_refused() -> None:
    with pytest.raises(InputError, match="--device gpu: no such kind of device"):
        assemble("gpu", 1)
    with pytest.raises(InputError, match="--device cuda:1: name a kind, not one device"):
        assemble("cuda:1", 2)


class Fragile(Line):
    """Its loss, or the gradient of it, is not finite once it has been asked often enough."""

    def __init__(self, healthy: int, what: str) -> None:
        super().__init__()
        self.left, self.what = healthy, what

    def loss(self, coordinates: Tensor, condition: Condition, level: Tensor, noise: Tensor) -> Tensor:
        self.left -= 1
        value = super().loss(coordinates, condition, level, noise)
        if self.left >= 0:
            return value
        return value * torch.nan if self.what == "loss" else value + (0 * value.mean()).sqrt()


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_and_the_state_before_it_is_kept(tmp_path: Path, what: str) -> None:
    with pytest.raises(RunError, match=r"not finite at step 8 \(targets t\d.*state is kept") as told:
        train(Fragile(8, what), _examples(), _config(), tmp_path / "bad", {})
    state = torch.load(tmp_path / "bad/state.pt", weights_only=True)
    assert state["step"] == 8
    assert all(bool(torch.isfinite(value).all()) for value in state["network"].values())
    assert str(tmp_path / "bad/state.pt") in str(told.value)
    mended = train(Line(), _examples(), _config(), tmp_path / "bad", {})
    assert mended.read_bytes() == train(Line(), _examples(), _config(), tmp_path / "good", {}).read_bytes()


def test_a_tensorboard_log_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(Line(), _examples(), _config(), tmp_path, {}, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(12))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": "float16"}, "precision 'float16'"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"anchor": float("nan")}, "anchor must be a finite number"),
        ({"anchor": -1.0}, "anchor must not be below 0"),
        ({"ema": 1.5}, "ema must be at most 1"),
        ({"objective": "ebq"}, "unknown objective 'ebq'"),
        ({"objective": "eba", "conformations": 1}, "eba compares conformations: at least 2"),
        ({"objective": "eba", "crossed": True, "draws": 3}, "draws = 3 is odd"),
        ({"steps": "many"}, "steps is a int, not 'many'"),
        ({"reference": "yes"}, "reference is a bool"),
        ({"warm_up": 3}, "unknown setting 'warm_up'; did you mean warmup?"),
    ],
)
def test_settings_are_checked(given: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError) as told:
        configured(TrainConfig, given)
    assert message in str(told.value)


def test_settings_are_read_from_text_and_files() -> None:
    read = configured(TrainConfig, {"steps": "3", "reference": "true", "learning_rate": 1, "objective": "eba"})
    assert (read.steps, read.reference, read.learning_rate, read.objective) == (3, True, 1.0, "eba")


def test_crops_are_consecutive_or_near_in_space() -> None:
    """On a hairpin, the residues nearest to one are also those across from it."""
    strand = torch.arange(20.0)
    places = torch.stack([torch.cat([strand, strand.flip(0)]), (torch.arange(40) >= 20).float(), torch.zeros(40)], -1)
    consecutive = spatial = 0
    for seed in range(60):
        chosen = residues_of_crop(places, 8, torch.Generator().manual_seed(seed))
        assert len(set(chosen.tolist())) == 8
        assert chosen.tolist() == sorted(chosen.tolist())
        if int(chosen[-1] - chosen[0]) == 7:
            consecutive += 1
        else:
            spatial += 1
            assert float(torch.pdist(places[chosen]).max()) < 8
    assert consecutive > 15
    assert spatial > 15


def _long(length: int) -> Example:
    coordinates = torch.arange(5.0)[:, None, None] + torch.arange(float(length))[None, :, None] / 1000
    return Example(Prepared(f"l{length}", coordinates, {"one": torch.ones(1)}, torch.randn(length, 3)))


def test_long_targets_are_cut_and_share_batches() -> None:
    batches = Batches([_long(9), _long(12), _long(3)], 2, lambda length: 24 // (2 * length), 6, Line().crop)
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(40):
        batch = batches.draw(generator)
        seen |= set(batch.targets)
        assert batch.coordinates.shape[2] == (3 if batch.targets[0] == "l3" else 6)
        assert batch.residues.tolist() == [batch.coordinates.shape[2]] * len(batch.targets)
        residues = batch.coordinates.remainder(1)  # the K conformations are cut alike
        torch.testing.assert_close(residues[:, 0], residues[:, 1], atol=1e-4, rtol=0)
    assert seen == {"l3", "l9", "l12"}


def test_energies_of_whole_structures_are_not_compared_on_crops(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="crop 1: energies are of whole structures, the longest of 2"):
        train(Line(), _examples(), _config(crop=1), tmp_path, {})


def _target() -> tuple[Target, Prepared, InternalDenoiser]:
    target = build("ACDEFGHIKLM", STRAND)
    model = InternalDenoiser(Config(width=32, depth=2, heads=2, pair=4, placement="frames"), Edm(), seed=3)
    with torch.no_grad():
        model.network.last.weight.normal_()
    noise = torch.randn(4, *target.native.shape, generator=torch.Generator().manual_seed(0))
    return target, model.prepare(target, target.native + 0.1 * noise.numpy()), model


def _losses(model: InternalDenoiser, coordinates: Tensor, condition: Condition) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(1, *coordinates.shape[1:], generator=generator).expand(coordinates.shape)
    return model.loss(coordinates, condition, torch.full((len(coordinates),), 0.3), noise)


def test_a_condition_serves_all_conformations_of_its_target() -> None:
    _, prepared, model = _target()
    shared = _losses(model, prepared.coordinates, prepared.condition)
    repeated = _losses(model, prepared.coordinates, spread(prepared.condition, 4))
    torch.testing.assert_close(shared, repeated)


def test_a_frozen_trunk_gives_its_embeddings_and_stays(tmp_path: Path) -> None:
    target, prepared, model = _target()
    expected = _losses(model, prepared.coordinates, prepared.condition).detach()
    model.freeze()
    frozen = model.prepare(target, build("ACDEFGHIKLM", STRAND).native[None])
    assert {"single", "pair"} <= set(frozen.condition)
    assert not {"native", "distance"} & set(frozen.condition)
    torch.testing.assert_close(_losses(model, prepared.coordinates, frozen.condition).detach(), expected)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    _losses(model, prepared.coordinates, frozen.condition).sum().backward()
    trunk = {id(parameter) for parameter in model.network.trunk()}
    assert trunk
    for name, parameter in model.network.named_parameters():
        assert (parameter.grad is None) == (id(parameter) in trunk), name
    assert before.keys() == model.network.state_dict().keys()


def test_residues_of_a_crop_know_their_places() -> None:
    _, prepared, model = _target()
    condition = {name: value[0] for name, value in prepared.condition.items()}
    chosen = torch.tensor([0, 4, 5, 9, 10])
    coordinates, cut = model.crop(prepared.coordinates, condition, chosen)
    assert coordinates.shape[1] == 5
    assert cut["place"].tolist() == chosen.tolist()
    assert cut["ends"].tolist() == [1, 0, 0, 0, 2]
    torch.testing.assert_close(cut["distance"], condition["distance"][chosen][:, chosen])
    everything = torch.arange(11)
    coordinates, cut = model.crop(prepared.coordinates, condition, everything)
    whole = _losses(model, prepared.coordinates, prepared.condition)
    torch.testing.assert_close(_losses(model, coordinates, {n: v[None] for n, v in cut.items()}), whole)


def test_the_loop_needs_torch_and_numpy_alone() -> None:
    code = (
        "import ebabench.training.loop, ebabench.training.cartesian_loss\n"
        "ours = ('scipy', 'pandas', 'openmm', 'mdtraj', 'numba', 'pydantic', 'typer', 'gemmi', 'matplotlib', 'sklearn',"
        " 'rich', 'pooch', 'platformdirs', 'lightning_fabric', 'tensorboard', 'safetensors')\n"
        "print('LOADED', *(name for name in ours if name in sys.modules))"
    )
    done = _python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "LOADED"
