"""Generators that run as a script in an environment of their own.

docs/reference/workers.md is the contract. The script answers in files. Its exit code and output decide nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ebabench.errors import InputError, RunError
from ebabench.generators import environments
from ebabench.generators.cards import Card
from ebabench.generators.protocol import Footprint, Generator, Resources
from ebabench.generators.sampling import matched
from ebabench.io.structure_files import write_pdb
from ebabench.structures import Atoms, Ensemble, Target
from ebabench.structures.nomenclature import is_hydrogen
from ebabench.system.batching import retry_with_smaller_batch
from ebabench.system.cache import cache_dir
from ebabench.system.files import replace_file
from ebabench.system.npz import read_npz
from ebabench.system.schema import first_fault, parse_json, read_text
from ebabench.system.subprocesses import End, last_line, run

_BATCH = 32  # conformations at once, where neither card nor user says
_MOST_ANSWER = 1 << 24  # bytes of result.json
_MOST_ATOMS, _ATOM_BYTES = 40, 24  # a residue with its hydrogens, and then some; three numbers in double precision
_SLACK = 1 << 26  # bytes for all else in samples.npz
_TABLE = ("atom_names", "residue_names", "residue_numbers", "chains")
# No package of a worker may reach the network: these it asks, and the proxy is one that no one answers at.
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "WANDB_MODE": "offline",
    "PIP_NO_INDEX": "1",
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
    "no_proxy": "localhost,127.0.0.1",
    "NO_PROXY": "localhost,127.0.0.1",
}
_NOT_PASSED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX")


class Answer(BaseModel):
    """``result.json``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    status: str = Field(pattern="^(ok|failed)$")
    error: str | None = None
    reason: str | None = None
    samples: int | None = None
    random_weights: bool = False
    versions: dict[str, str] = Field(default_factory=dict)
    seconds: float | None = None
    parameters: int | None = None
    peak_memory_mib: float | None = None
    peak_device_memory_mib: float | None = None


class OutOfMemoryError(MemoryError):
    """The worker reports that memory ran out, of the processor or of the GPU."""


@dataclass(frozen=True)
class Call:
    """One start of a worker: the interpreter, the device, and the file for its output."""

    card: Card
    python: Path
    device: str
    log: Path
    stop: threading.Event

    def __call__(self, request: Mapping[str, Any], target: Target | None, folder: Path) -> Answer:
        """Write the request into ``folder``, run the script there, and return its answer.

        Args:
            request: Its content, without target and device.
            target: The target, if the verb has one.
            folder: An empty folder.

        Raises:
            OutOfMemoryError: The worker reports that memory ran out.
            RunError: The worker gave no valid answer (``worker.answer``), or reports a failure (``worker.failed``).
            StoppedError: ``stop`` was set.
        """
        whole = {"device": "cuda:0" if self.device.startswith("cuda") else self.device, **request}
        if target is not None:
            whole["target"] = {"name": target.name, "sequence": target.sequence, "native": "native.pdb"}
            write_pdb(Ensemble(target.name, target.atoms, target.native[None]), folder / "native.pdb")
        (folder / "request.json").write_text(json.dumps(whole, indent=1, sort_keys=True), encoding="utf-8")
        command = [str(self.python), "-P", str(script(self.card)), "request.json"]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        end = run(command, folder, self._environment(), self.card.environment.timeout, self.log, self.stop)
        answer = self._answer(folder / "result.json", end)
        if answer.status == "failed":
            error = answer.error or answer.reason or "it does not say why"
            if answer.reason == "out_of_memory":
                raise OutOfMemoryError(f"the worker ran out of memory: {error}")
            raise RunError(f"the worker failed: {error} ({self._see()})", code="worker.failed", log=self.log)
        return answer

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
        offline = _OFFLINE | {"PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1"}
        path = {"PATH": os.pathsep.join([str(self.python.parent), own.get("PATH", os.defpath)])}
        return own | path | offline | _visible(self.device) | self.card.environment.variables

    def _answer(self, path: Path, end: End) -> Answer:
        try:
            return Answer.model_validate(parse_json(read_text(path, _MOST_ANSWER)))
        except FileNotFoundError:
            raise RunError(
                f"the worker {end} and left no result.json ({self._see()})", code="worker.answer", log=self.log
            ) from None
        except ValidationError as error:
            raise RunError(
                f"the worker's result.json: {first_fault(error)} ({self._see()})", code="worker.answer", log=self.log
            ) from error
        except (OSError, ValueError) as error:
            raise RunError(
                f"the worker's result.json cannot be read: {error} ({self._see()})", code="worker.answer", log=self.log
            ) from error

    def _see(self) -> str:
        said = last_line(self.log)
        return f"log: {self.log.parent.name}/{self.log.name}" + (f", its last line: {said}" if said else "")


class Worker:
    """A generator in an environment of its own. The script is started once per target."""

    def __init__(self, card: Card, resources: Resources) -> None:
        self.card = card
        self.resources = resources
        self.python = environments.python(card)
        _visible(resources.device)  # a GPU that is not there is said now
        self.checkpoints = (
            {} if resources.random_weights else {c.name: card.checkpoint(c.name) for c in card.checkpoints}
        )
        self._stop = threading.Event()
        self._footprint = Footprint()

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Return conformations of those heavy atoms of the target that the model has, in the target's order.

        Args:
            target: The molecule.
            samples: Number of conformations.
            seed: Seed of all random numbers.

        Raises:
            RunError: The worker gave no valid answer, other samples than requested, or reports a failure.
            MemoryError: Not even a batch of one fits into memory.
            StoppedError: ``stop`` was called.
        """
        batch = self.resources.batch_size or int(self.card.sampling.get("batch_size", _BATCH))
        return retry_with_smaller_batch(min(batch, samples), lambda size: self._sample(target, samples, seed, size))

    def footprint(self) -> Footprint:
        """Return what the worker said of its last target."""
        return self._footprint

    def stop(self) -> None:
        """Stop for good whatever is running, from another thread."""
        self._stop.set()

    def _sample(self, target: Target, samples: int, seed: int, batch_size: int) -> Ensemble:
        request = _request(self.card, "sample") | {
            "samples": samples,
            "seed": seed,
            "batch_size": batch_size,
            "checkpoints": {name: str(path.resolve()) for name, path in self.checkpoints.items()},
            "random_weights": self.resources.random_weights,
        }
        with tempfile.TemporaryDirectory(prefix="ebabench-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            folder_of_logs = self.resources.logs or logs(self.card)
            log = folder_of_logs / f"{target.name}.log"
            call = Call(self.card, self.python, self.resources.device, log, self._stop)
            answer = call(request, target, folder)
            if answer.random_weights and not self.resources.random_weights:
                raise RunError("the worker used random weights, which were not asked for", code="worker.random_weights")
            ensemble = read_samples(folder / "samples.npz", target, samples)
            kept = answer.model_dump() | {"batch_size": batch_size}
            self._footprint = Footprint(answer.parameters, answer.peak_memory_mib, answer.peak_device_memory_mib)
            replace_file(folder_of_logs / f"{target.name}.json", json.dumps(kept, indent=1, sort_keys=True) + "\n")
        random_weights = self.resources.random_weights
        return replace(ensemble, random_weights=random_weights, batch_size=batch_size)


def probe(card: Card, device: str, log: Path) -> Answer:
    """Return a worker's answer to ``probe``, with the versions of its packages. Raises as ``Call`` does."""
    with tempfile.TemporaryDirectory(prefix="ebabench-", ignore_cleanup_errors=True) as name:
        call = Call(card, environments.python(card), device, log, threading.Event())
        return call(_request(card, "probe"), None, Path(name))


def _visible(device: str) -> dict[str, str]:
    """Return the environment variable that makes ``device`` the only GPU of a worker.

    The number of the device counts the GPUs that this process may use.
    """
    if device == "cpu":
        return {"CUDA_VISIBLE_DEVICES": ""}
    _, _, number = device.partition(":")
    if not number:
        return {}
    visible = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    if visible and int(number) >= len(visible):
        raise InputError(
            f"there is no {device}: CUDA_VISIBLE_DEVICES shows {len(visible)}, counted from cuda:0",
            code="device.missing",
            device=device,
        )
    return {"CUDA_VISIBLE_DEVICES": visible[int(number)] if visible else number}


def _request(card: Card, verb: str) -> dict[str, Any]:
    """Return the part of a request that all verbs share."""
    _cache(card).mkdir(parents=True, exist_ok=True)
    return {
        "verb": verb,
        "samples": 0,
        "seed": 0,
        "batch_size": 1,
        "checkpoints": {},
        "random_weights": False,
        "settings": dict(card.sampling),
        "cache": str(_cache(card).resolve()),
    }


def _cache(card: Card) -> Path:
    return cache_dir() / "workers" / card.name


def logs(card: Card) -> Path:
    """Return the folder of a worker's logs outside a run."""
    return _cache(card) / "logs"


def script(card: Card) -> Path:
    """Return the path of a worker's script. Raises InputError (``worker.script``) if there is none."""
    path = (card.path.parent / str(card.script)).resolve()
    if not path.is_file():
        raise InputError(f"{card.path}: script: there is no file {path}", code="worker.script", file=path)
    return path


def read_samples(path: Path, target: Target, samples: int) -> Ensemble:
    """Return the ensemble in a worker's ``samples.npz``, matched to the target.

    Args:
        path: The file.
        target: The target that was requested.
        samples: How many conformations were requested; a file that is much larger than these is refused.

    Returns:
        The heavy atoms of the target that the worker gave, in the target's order.

    Raises:
        RunError: The file is missing, broken or has wrong shapes (``worker.samples``), or is of another sequence.
    """
    try:
        arrays = read_npz(path, _SLACK + samples * _ATOM_BYTES * _MOST_ATOMS * len(target.sequence))
    except FileNotFoundError:
        raise RunError("the worker says ok, but left no samples.npz", code="worker.samples", file=path) from None
    except (OSError, ValueError) as error:
        raise RunError(f"the worker's samples.npz cannot be read: {error}", code="worker.samples", file=path) from error
    if missing := [name for name in ("positions", *_TABLE) if name not in arrays]:
        raise RunError(
            f"the worker's samples.npz lacks {', '.join(missing)}", code="worker.samples", file=path, missing=missing
        )
    positions = arrays["positions"]
    columns = [arrays[name] for name in _TABLE]
    if positions.ndim != 3 or positions.shape[2] != 3 or any(c.shape != (positions.shape[1],) for c in columns):
        raise RunError(
            f"the worker's samples.npz: positions have shape {positions.shape}, expected [samples, atoms, 3], "
            f"and {', '.join(f'{n} {c.shape}' for n, c in zip(_TABLE, columns, strict=True))}",
            code="worker.samples",
            file=path,
        )
    if not np.issubdtype(positions.dtype, np.floating) or not positions.shape[1]:
        raise RunError(
            f"the worker's samples.npz: positions are {positions.shape[1]} atoms of {positions.dtype}",
            code="worker.samples",
            file=path,
        )
    name, residue_name, number, chain = (column.astype(np.str_) for column in columns)
    change = np.zeros(len(name), np.int64)
    for column in (residue_name, number, chain):
        change[1:] |= column[1:] != column[:-1]
    heavy = np.flatnonzero(~is_hydrogen(name))
    residue = np.unique(np.cumsum(change)[heavy], return_inverse=True)[1].astype(np.int64)
    rows = list(zip(residue.tolist(), name[heavy].tolist(), strict=True))
    if len(set(rows)) < len(rows):
        row, atom = next(row for row in rows if rows.count(row) > 1)
        raise RunError(
            f"the worker returned an atom twice: {atom} of residue {row + 1}", code="worker.samples", file=path
        )
    given = Ensemble(
        target.name,
        Atoms(name[heavy], residue_name[heavy], residue),
        positions[:, heavy].astype(np.float32),
    )
    return matched(given, target)


def build(card: Card, resources: Resources) -> Generator:
    """Return the generator of a card of the kind ``worker``.

    Raises:
        InputError: The model is not installed, or a checkpoint is missing or altered.
    """
    return Worker(card, resources)
