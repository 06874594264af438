"""The shared sampler: what a generator gives is checked, kept, and never made twice; one failure stays one."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import SEQUENCES, reference, target

from ebabench.errors import InputError
from ebabench.generators.build import build
from ebabench.generators.cards import CARDS
from ebabench.generators.protocol import Resources
from ebabench.generators.sampling import Outcome, sample, sample_on, target_seed
from ebabench.structures import Ensemble, Reference, Target
from ebabench.system.claims import Claims
from ebabench.system.process_pool import WorkerDiedError
from ebabench.workflows.models import load_model

NAMES = list(SEQUENCES)[:3]
Make = Callable[[Target, int, int], Ensemble]


class Shaking:
    """A sound generator, with a fault on one target if there is one."""

    def __init__(self, fault: Make | None = None) -> None:
        self.fault = fault
        self.seeds: dict[str, int] = {}

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        self.seeds[target.name] = seed
        if self.fault is not None and target.name == "two":
            return self.fault(target, samples, seed)
        noise = np.random.default_rng(seed).normal(size=(samples, *target.native.shape))
        return Ensemble(target.name, target.atoms, (target.native + noise).astype(np.float32))


def sampled(generator: Shaking, names: list[str] = NAMES, kept: dict[str, Ensemble] | None = None) -> list[Outcome]:
    kept = {} if kept is None else kept
    targets = [target(name) for name in names]
    return list(sample([generator], targets, 5, 7, kept.get, lambda e: kept.__setitem__(e.target, e)))


def short_of(target: Target, samples: int, seed: int) -> Ensemble:
    return Shaking().sample(target, samples - 2, seed)


def with_nan(target: Target, samples: int, seed: int) -> Ensemble:
    ensemble = Shaking().sample(target, samples, seed)
    ensemble.positions[3, 1, 2] = np.nan
    return ensemble


def lacking_an_atom(target: Target, samples: int, seed: int) -> Ensemble:
    ensemble = Shaking().sample(target, samples, seed)
    return Ensemble(target.name, ensemble.atoms.take(np.arange(5)), ensemble.positions[:, :5])


def of_another_sequence(target: Target, samples: int, seed: int) -> Ensemble:
    ensemble = Shaking().sample(target, samples, seed)
    names = ensemble.atoms.residue_name.copy()
    names[0] = "TRP"
    return replace(ensemble, atoms=replace(ensemble.atoms, residue_name=names))


def with_an_atom_twice(target: Target, samples: int, seed: int) -> Ensemble:
    ensemble = Shaking().sample(target, samples, seed)
    twice = np.array([0, 0, 1, 2, 3, 4, 5])
    return Ensemble(target.name, ensemble.atoms.take(twice), ensemble.positions[:, twice])


def of_another_target(target: Target, samples: int, seed: int) -> Ensemble:
    return replace(Shaking().sample(target, samples, seed), target="three")


def nothing(target: Target, samples: int, seed: int) -> Ensemble:
    return None


def crash(target: Target, samples: int, seed: int) -> Ensemble:
    raise MemoryError("out of memory")


def leave(target: Target, samples: int, seed: int) -> Ensemble:
    sys.exit(0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (short_of, "3 conformations, 5 were asked for"),
        (with_nan, "1 of 5 conformations have positions that are not finite, first 3"),
        (lacking_an_atom, "lacks TRP6:CA"),
        (of_another_sequence, "lacks LYS1:CA and has in excess TRP1:CA"),
        (with_an_atom_twice, "atoms twice: LYS1:CA"),
        (of_another_target, "an ensemble of three, not of two"),
        (nothing, "returned NoneType"),
        (crash, "memory ran out: out of memory"),
        (leave, "sys.exit(0)"),
    ],
)
def test_a_fault_is_the_failure_of_one_target(fault: Make, reason: str) -> None:
    kept: dict[str, Ensemble] = {}
    outcomes = sampled(Shaking(fault), kept=kept)
    assert [outcome.target for outcome in outcomes if outcome.error is None] == ["one", "three"]
    assert reason in outcomes[1].error
    assert outcomes[1].ensemble is None
    assert set(kept) == {"one", "three"}


def test_what_is_kept_is_not_made_again() -> None:
    kept: dict[str, Ensemble] = {}
    sampled(Shaking(crash), kept=kept)
    again = Shaking()
    outcomes = sampled(again, kept=kept)
    assert [outcome.resumed for outcome in outcomes] == [True, False, True]
    assert set(again.seeds) == {"two"}
    undisturbed = sampled(Shaking())
    for one, other in zip(outcomes, undisturbed, strict=True):
        assert np.array_equal(one.ensemble.positions, other.ensemble.positions)


def deadly(name: str) -> Outcome:
    if name == "two":
        raise WorkerDiedError("3 workers died of it")
    return Outcome(name, None)


def test_workers_sample_what_is_not_there_and_leave_what_others_claim(tmp_path: Path) -> None:
    theirs, here = Claims(tmp_path), sampled(Shaking(), ["three"])[0].ensemble
    theirs.take("four")
    with ThreadPoolExecutor(1) as executor:
        names = list(SEQUENCES)[:4]
        found = sample_on(executor, deadly, names, {"three": here}.get, Claims(tmp_path))
        outcomes = {outcome.target: outcome for outcome in found}
    assert list(outcomes) == ["one", "two", "three", "four"]
    assert outcomes["one"].error is None
    assert "died" in str(outcomes["two"].error)
    assert outcomes["three"].resumed
    assert outcomes["four"].busy
    theirs.release("four")
    assert Claims(tmp_path).take("two"), "it was given back"


def test_a_seed_does_not_depend_on_the_order_of_targets() -> None:
    forward, backward = Shaking(), Shaking()
    sampled(forward)
    sampled(backward, NAMES[::-1])
    assert forward.seeds == backward.seeds
    assert len(set(forward.seeds.values())) == len(NAMES)
    assert target_seed(7, "one") != target_seed(8, "one")
    assert all(0 <= seed < 2**31 for seed in forward.seeds.values())


def test_an_interruption_is_not_a_failure_of_the_target() -> None:
    def interrupt(target: Target, samples: int, seed: int) -> Ensemble:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampled(Shaking(interrupt))


def test_static_jitters_by_the_amplitude_on_its_card() -> None:
    card = CARDS.load("static")
    one = target("one")
    generator = build(card, Resources("cpu", lambda name: None))
    away = generator.sample(one, 4000, 1).positions - one.native
    assert np.abs(away.mean(0)).max() < 0.03
    assert away.std(0) == pytest.approx(card.sampling["amplitude"], rel=0.06)
    assert np.array_equal(generator.sample(one, 3, 5).positions, generator.sample(one, 3, 5).positions)
    assert not np.array_equal(generator.sample(one, 3, 5).positions, generator.sample(one, 3, 6).positions)


def test_md_replica_is_replica_one_evenly_and_names_it_as_held_out() -> None:
    one = target("one")
    frames = np.arange(21, dtype=np.float32)[:, None, None] + np.zeros((1, 6, 3), np.float32)
    reference = Reference(one, (frames, frames + 1000), "md-implicit")
    generator = build(CARDS.load("md-replica"), Resources("cpu", lambda name: reference))
    ensemble = generator.sample(one, 5, 1)
    assert ensemble.positions[:, 0, 0].tolist() == [0, 5, 10, 15, 20]
    assert ensemble.held_out == (1,)
    assert reference.without(ensemble.held_out).numbers == (2,)
    with pytest.raises(InputError, match="replica 1 has 21 frames, 22 were asked for"):
        generator.sample(one, 22, 1)


@pytest.mark.parametrize("model", ["static", "gaussian", "md-replica"])
@pytest.mark.parametrize(("samples", "seed"), [(-5, 0), (0, 0), (2.5, 0), ("5", 0), (True, 0), (5, 0.5), (5, -1)])
def test_what_no_model_can_be_asked_for_is_refused_by_all(model: str, samples: object, seed: object) -> None:
    generator = load_model(model, reference=reference)
    with pytest.raises(InputError) as error:
        generator.sample(target("one"), samples, seed)  # type: ignore[arg-type]
    assert error.value.code == "run.settings"
    assert len(generator.sample(target("one"), np.int64(2), np.int64(1))) == 2  # type: ignore[arg-type]


def test_the_name_of_a_target_is_no_target_and_an_object_no_model() -> None:
    with pytest.raises(InputError, match="'KLED': not a Target"):
        load_model("static").sample("KLED", 5, 0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no model; give a name"):
        load_model(Shaking())  # type: ignore[arg-type]
