"""The speed of a suite's molecular dynamics on the processor at hand.

It depends on the machine and is measured once per machine: the result is stored in the user's cache, under the settings
of the dynamics, the processor and the version of ebabench.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ebabench import __version__
from ebabench.datasets.simulation import Simulation, start
from ebabench.errors import InputError
from ebabench.structures.arrays import evenly_spaced
from ebabench.system.cache import cache_dir, keep
from ebabench.system.processor import processor

if TYPE_CHECKING:
    from ebabench.datasets.suites import Suite

MOST_TARGETS = 8
_SECONDS = 0.3
_STEPS = 100
_WARM_UP = 200


@dataclass(frozen=True)
class MdSpeed:
    """The speed of the MD of one target.

    Attributes:
        seconds_per_ns: Processor time of one nanosecond, on one core. On an idle machine this is the wall time.
        device: Name of the processor.
    """

    seconds_per_ns: float
    device: str


def md_speeds(suite: Suite) -> dict[str, MdSpeed]:
    """Return the speed of a suite's MD by target, from the store if it was measured on this machine before.

    At most eight targets are measured, evenly spaced from the shortest sequence to the longest. Each takes about half a
    second of processor time. On a fresh installation the dynamics are compiled first.

    Args:
        suite: The suite; of one that is not simulated by ebabench, and of targets that cannot be simulated, nothing
            is known.
    """
    if suite.simulation is None:
        return {}
    ordered = sorted(suite.targets, key=lambda target: (len(target.sequence), target.name))
    places = evenly_spaced(len(ordered), MOST_TARGETS)
    found = {}
    for name in (ordered[place].name for place in places):
        with suppress(InputError, ValueError, ArithmeticError):
            found[name] = md_speed(suite.simulations(name)[0])
    return found


def md_speed(simulation: Simulation) -> MdSpeed:
    """Return the speed of one simulation: measured, or as stored.

    Args:
        simulation: Its sequence and settings; its length and seed do not matter.

    Raises:
        ValueError: The dynamics lack a force of the force field.
        FloatingPointError: The dynamics diverge, or there is no start without clashes.

    Example:
        >>> from ebabench.datasets.suites import load_suite
        >>> md_speed(load_suite("peptides-v1").simulations("GAPF")[0]).seconds_per_ns > 0
        True
    """
    path = cache_dir() / "md_speed" / f"{_key(simulation)}.json"
    with suppress(OSError, ValueError, TypeError):
        return MdSpeed(**json.loads(path.read_text(encoding="utf-8")))
    speed = MdSpeed(_measured(simulation), processor()["processor"])
    keep(path, json.dumps(asdict(speed)) + "\n")
    return speed


def _measured(simulation: Simulation) -> float:
    _, moving = start(simulation)
    moving.advance(_WARM_UP)
    began, steps = time.thread_time(), 0
    while (spent := time.thread_time() - began) < _SECONDS:
        moving.advance(_STEPS)
        steps += _STEPS
    return spent / (steps * simulation.timestep_fs * 1e-6)


def _key(simulation: Simulation) -> str:
    besides = ("name", "replica", "nanoseconds", "frame_ps", "seed", "start", "jitter", "equilibration_ps")
    settings = {name: value for name, value in asdict(simulation).items() if name not in besides}
    told = [settings, processor(), __version__]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
