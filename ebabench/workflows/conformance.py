"""Whether a model keeps its contract: what is wrong with it, and how to mend it.

A worker that is not installed, or lacks its weights, is checked as far as it can be; what cannot be is skipped, and
says so.
"""

from __future__ import annotations

import ast
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal
from unittest import mock

import numpy as np

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.errors import InputError, RunError
from ebabench.generators.build import build, code
from ebabench.generators.cards import Card
from ebabench.generators.converters import converter
from ebabench.generators.environments import install_command, is_path, lock_file
from ebabench.generators.protocol import Resources
from ebabench.generators.sampling import check_atoms, check_count, check_finite
from ebabench.generators.status import readiness
from ebabench.structures import Ensemble, validation
from ebabench.structures.arrays import Positions
from ebabench.structures.geometry import superpose
from ebabench.structures.matching import match

SUITE, TARGET, SAMPLES, SEED = "peptides-v1", "KLED", 4, 20
_ROOM = 10  # a suite asks for some sixty times as many conformations, at which starting counts for less
_TOLERANCE = 1e-3  # angstrom: GPU kernels do not all repeat their sums in one order
_LOOPBACK = ("127.", "::1", "localhost")

_MEND = {
    "card": "complete the card",
    "code": "mend the code that the card names",
    "environment": "mend [environment] and run `ebabench models install` again",
    "weights": "correct size and sha256 on the card, or fetch the file again",
    "sampling": "sample() may raise only for targets that the model cannot do",
    "count": "give exactly `samples` conformations, also where that is no multiple of the batch",
    "finite": "look for divisions by zero and too large steps; drop nothing silently: draw again",
    "atoms": "give all heavy atoms of the target, or say on the card that the model provides less",
    "held_out": "leave held_out empty: it is for MD as a model, whose conformations are frames of these replicas",
    "unit": "positions are in angstrom, and atoms of one residue belong together",
    "chirality": "amino acids are left-handed: look for a coordinate that is negated, or axes that are swapped",
    "independent": "every conformation is drawn anew: look for one batch that is given twice",
    "deterministic": "draw all random numbers from a generator that is seeded with `seed` in sample()",
    "seed": "another seed gives other conformations: seed the generator of random numbers with `seed`",
    "timeout": "raise timeout under [environment], or give a larger batch_size",
    "offline": "load from checkpoints that the card names; fetch nothing while sampling",
}


@dataclass(frozen=True)
class Finding:
    """One check: its outcome, what was seen, and how to mend it where it failed or was skipped."""

    check: str
    outcome: Literal["ok", "failed", "skipped", "warning"]
    detail: str
    mend: str = ""


def conformance(card: Card, device: str = "cpu", random_weights: bool = False) -> list[Finding]:
    """All checks of a model; those that sample use four conformations of a tetrapeptide.

    Args:
        card: the model.
        device: where it samples.
        random_weights: do without the checkpoints (workers only): geometry is then not checked.
    """
    findings = unstarted(card)
    state = readiness(card)
    if state.by_hand:
        return [*findings, Finding("sampling", "skipped", "its code is run by you", card.environment.command or "")]
    findings.append(_weights(card, random_weights))
    able = state.installed and (not state.lacking or random_weights)
    if card.environment.kind == "worker":
        findings.append(_environment(card, device, state.installed))
    if not able:
        return [*findings, Finding("sampling", "skipped", f"it {state}", install_command(card))]
    if any(finding.outcome == "failed" for finding in findings):
        return [*findings, Finding("sampling", "skipped", "for the failures above")]
    return [*findings, *_sampling(card, device, random_weights)]


def unstarted(card: Card) -> list[Finding]:
    """The checks that start nothing: of the card and of the code that it names."""
    return [_of("card", lambda: _card(card)), *_local(card), _of("code", lambda: _code(card))]


def _local(card: Card) -> list[Finding]:
    """Return a warning for what the card names on this machine, which no other machine has."""
    asked = card.environment
    paths = [text for text in (*asked.requirements, *asked.no_deps) if is_path(text)]
    paths += [asked.interpreter] if asked.interpreter else []
    mend = "publish the package, or name its repository and commit: NAME @ git+URL@COMMIT"
    return [Finding("card", "warning", f"{', '.join(paths)}: only on this machine", mend)] * bool(paths)


def _of(check: str, look: Callable[[], str]) -> Finding:
    """``look`` gives what was seen, or raises what is wrong."""
    try:
        return Finding(check, "ok", look())
    except (InputError, RunError) as error:
        return Finding(check, "failed", str(error), _MEND[check])
    except Exception as error:
        return Finding(check, "failed", f"{type(error).__name__}: {error} ({_place(error)})", _MEND[check])


def _place(error: Exception) -> str:
    """The file and the line at which an exception was raised, or left code that is not installed."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((one for one in reversed(frames) if "site-packages" not in one.filename), frames[-1])
    return f"{frame.filename}, line {frame.lineno}"


def _card(card: Card) -> str:
    asked = card.environment
    asked_for = [text for text in (*asked.requirements, *asked.no_deps) if not is_path(text)]
    loose = [text for text in asked_for if "==" not in text and "@" not in text]
    if loose and asked.kind != "in-process" and not lock_file(card).exists():
        raise InputError(
            f"environment.requirements: {', '.join(loose)}: not pinned; write NAME==VERSION, or keep lock.txt of an "
            f"environment that works as {lock_file(card).name} beside the card"
        )
    if asked.commit and not asked.commit.strip("0"):
        raise InputError("environment.commit: all zeros is no commit")
    texts = (card.title, card.paper, card.licence, card.training.data, card.training.evidence)
    if any("TODO" in text for text in texts):
        raise InputError("it says TODO")
    unknown = [one.name for one in card.checkpoints if one.sha256 is None]
    later = f"; SHA-256 of {', '.join(unknown)}: pinned at the first download" if unknown else ""
    return f"complete{later}"


def _code(card: Card) -> str:
    if card.converter is not None:
        converter(card)
        return f"{card.converter} can be imported"
    if card.entry is not None:
        if not callable(code(card, card.entry)):
            raise InputError(f"{card.entry} cannot be called")
        return f"{card.entry} can be imported"
    from ebabench.generators.workers import script

    path = script(card)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        if any(name.split(".")[0] == "ebabench" for name in names):
            raise InputError(f"{path}, line {node.lineno}: imports ebabench, which is not in its environment")
    return f"{path.name} can be read, and stands alone"


def _weights(card: Card, random_weights: bool) -> Finding:
    if random_weights:
        return Finding("weights", "skipped", "random weights were asked for")
    lacking = readiness(card).lacking
    if lacking:
        names = ", ".join(f"{one.name} ({one.url or one.file})" for one in lacking)
        return Finding("weights", "skipped", f"not here: {names}", install_command(card))
    return _of("weights", lambda: ", ".join(card.checkpoint(one.name).name for one in card.checkpoints) or "needs none")


def _environment(card: Card, device: str, installed: bool) -> Finding:
    if not installed:
        return Finding("environment", "skipped", "not installed", install_command(card))
    from ebabench.generators.workers import logs, probe

    def look() -> str:
        answer = probe(card, device, logs(card) / "probe.log")
        return ", ".join(f"{name} {version}" for name, version in answer.versions.items()) or "answers"

    return _with_logs(card, _of("environment", look))


def _with_logs(card: Card, finding: Finding) -> Finding:
    """A finding that says where the logs of a worker are, if it failed."""
    if finding.outcome != "failed" or card.environment.kind != "worker":
        return finding
    from ebabench.generators.workers import logs

    return replace(finding, mend=f"{finding.mend}; logs: {logs(card)}")


def _sampling(card: Card, device: str, random_weights: bool) -> list[Finding]:
    reader = reference_reader(load_suite(SUITE))
    target = reader(TARGET).target
    resources = Resources(device, reader, random_weights=random_weights)
    asked: list[str] = []
    drawn: list[Ensemble] = []
    took: list[float] = []

    def draw(seed: int = SEED) -> str:
        started = time.monotonic()
        with _no_network(asked):
            ensemble = build(card, resources).sample(target, SAMPLES, seed)
        if not isinstance(ensemble, Ensemble):
            raise RunError(f"it returned {type(ensemble).__name__}, not an Ensemble")
        if ensemble.target != target.name:
            raise RunError(f"it returned an ensemble of {ensemble.target}, not of {target.name}")
        drawn.append(ensemble)
        took.append(time.monotonic() - started)
        return f"{SAMPLES} conformations of {TARGET}"

    findings = [_with_logs(card, _of("sampling", draw))]
    form: dict[str, Callable[[], None]] = {
        "count": lambda: check_count(drawn[0], SAMPLES),
        "finite": lambda: check_finite(drawn[0]),
        "atoms": lambda: check_atoms(drawn[0], target, card.provides),
    }
    for name, check in form.items():
        if findings[-1].outcome == "failed":
            return findings
        findings.append(_of(name, partial(_silent, check)))
    if findings[-1].outcome != "failed" and drawn[0].held_out:
        held_out = partial(validation.validate_held_out, drawn[0], reader(TARGET))
        findings.append(_of("held_out", partial(_silent, held_out)))
    if findings[-1].outcome == "failed":
        return findings

    pairs = match(drawn[0].atoms, target.atoms)
    atoms, positions = drawn[0].atoms.take(pairs.model), drawn[0].positions[:, pairs.model]
    native, place = target.native[pairs.reference], np.arange(len(target.sequence))
    geometry: dict[str, Callable[[], None]] = {
        "unit": lambda: validation.validate(card.name, atoms, place, positions),
        "chirality": lambda: validation.validate_chirality(card.name, atoms, positions, native),
        "independent": lambda: _check_independent(superpose(positions, native), native),
    }
    for name, check in geometry.items():
        unseen = Finding(name, "skipped", "random weights")
        findings.append(unseen if random_weights else _of(name, partial(_silent, check)))
    findings.append(_of("deterministic", lambda: _again(draw, drawn)))
    if findings[-1].outcome == "ok":
        findings.append(_other_seed(draw, drawn))
    return [*findings, _of("timeout", lambda: _in_time(card, took[0])), _offline(card, asked)]


def _check_independent(superposed: Positions, native: Positions) -> None:
    if copies := validation.count_duplicates(superposed, native):
        raise RunError(f"{copies} of {len(superposed)} conformations are copies of others; samples must be independent")


def _in_time(card: Card, seconds: float) -> str:
    took = f"{SAMPLES} took {seconds:.1f} s, start included"
    if card.environment.kind != "worker":
        return f"{took}; there is no deadline in process"
    if seconds > card.environment.timeout / _ROOM:
        raise RunError(f"{took}, and a whole target may take no more than {card.environment.timeout:.0f} s")
    return f"{took}, of {card.environment.timeout:.0f} s for a whole target"


def _silent(check: Callable[[], None]) -> str:
    check()
    return ""


def _again(draw: Callable[[], str], drawn: list[Ensemble]) -> str:
    draw()
    one, other = drawn[:2]
    if one.atoms.digest() != other.atoms.digest() or one.positions.shape != other.positions.shape:
        raise RunError("other atoms, or another number of conformations, under one seed")
    away = float(np.abs(other.positions - one.positions).max())
    if not away <= _TOLERANCE:
        raise RunError(f"positions under one seed differ by up to {away:.3g} angstrom")
    return f"twice the same to {away:.1g} angstrom"


def _other_seed(draw: Callable[[int], str], drawn: list[Ensemble]) -> Finding:
    if drawn[0].held_out:
        return Finding("seed", "skipped", "its conformations are those of MD")

    def look() -> str:
        draw(SEED + 1)
        one, other = drawn[0].positions, drawn[-1].positions
        if one.shape == other.shape and float(np.abs(other - one).max()) <= _TOLERANCE:
            raise RunError("another seed gives the same conformations")
        return "another seed gives other conformations"

    return _of("seed", look)


def _offline(card: Card, asked: list[str]) -> Finding:
    if asked:
        return Finding("offline", "failed", f"it asked for {', '.join(sorted(set(asked)))}", _MEND["offline"])
    how = "its proxies lead nowhere" if card.environment.kind == "worker" else "it asked for nothing"
    return Finding("offline", "ok", f"sampled without network: {how}")


@contextmanager
def _no_network(asked: list[str]) -> Iterator[None]:
    """Connections but to this machine fail, and are told of in ``asked``."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def refuse(host: object) -> None:
        if not str(host).startswith(_LOOPBACK):
            asked.append(str(host))
            raise OSError(f"no network while sampling: {host}")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            refuse(address[0])
        connect(self, address)

    def guarded_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        refuse(host)
        return look_up(host, *arguments, **options)

    with (
        mock.patch.object(socket.socket, "connect", guarded_connect),
        mock.patch.object(socket, "getaddrinfo", guarded_look_up),
    ):
        yield
