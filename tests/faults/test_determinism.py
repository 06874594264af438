"""Which bytes do not depend on processes, threads, the processor's instruction sets, the locale, or the Python version.

The other Python is that of the environment variable EBABENCH_OTHER_PYTHON: an executable that can import ebabench.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from campaign import METRIC, Command, Commands
from harness import Tally, difference

GENERIC = {
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
    "OPENBLAS_CORETYPE": "Prescott",
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
VARIANTS = {
    "--jobs 2": (("--jobs", "2"), {}),
    "OMP_NUM_THREADS=2": ((), {"OMP_NUM_THREADS": "2"}),
    "generic processor": ((), GENERIC),
    "C locale": ((), C_LOCALE),
}
OTHER = "EBABENCH_OTHER_PYTHON"
NEED_TORCH = ("run", "align")
# What the bytes are compared of, and where they depend on the instruction sets that a library finds.
PARTS = {
    "`run`: ensembles of eba": ("run", "/ensembles/"),
    "`score`: records of all metrics, tables, leaderboard": ("score", ""),
    "`simulate`: frames": ("simulate", ""),
    "`energy`: the table": ("energy", ""),
    "`align`: weights": ("align", "/model.safetensors"),
}
EQUAL = {
    "--jobs 2": set(PARTS),
    "OMP_NUM_THREADS=2": set(PARTS) - {"`run`: ensembles of eba"},  # sums of torch
    "generic processor": {"`simulate`: frames", "`energy`: the table"},
    "C locale": set(PARTS),
}


def _command(known: Commands, name: str) -> Command:
    """One target: ensembles of a network, and records with all metrics."""
    command, one = known[name], ("--target", "AGS")
    if name == "run":
        return replace(command, arguments=(*command.arguments, "--model", "eba", "--samples", "6", *one))
    if name == "score":
        return replace(command, arguments=(*(word for word in command.arguments if word not in METRIC), *one))
    return command


def _left(
    command: Command,
    folder: Path,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    python: str = sys.executable,
) -> dict[str, bytes]:
    folder.mkdir(parents=True)
    command.prepare(folder)
    whole = {**os.environ, "EBABENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", **environment}
    start = [python, "-c", "from ebabench.cli import main; main()", *command.arguments, *arguments]
    done = subprocess.run(start, cwd=folder, env=whole, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    left = command.left(folder)
    # The header of a checkpoint tells the command, which differs by its options.
    return {path: _tensors(data) if path.endswith(".safetensors") else data for path, data in left.items()}


def _tensors(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]


@pytest.fixture(scope="module")
def left(known: Commands, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, bytes]]:
    """What every command leaves, by its name and the variant ("" for none)."""
    root, names = tmp_path_factory.mktemp("determinism"), dict.fromkeys(name for name, _ in PARTS.values())
    variants = {"": ((), {}), **VARIANTS}
    with ThreadPoolExecutor(2) as pool:
        started = {
            (name, variant): pool.submit(
                _left, _command(known, name), root / name / str(number), arguments or ("--jobs", "1"), environment
            )
            for number, (variant, (arguments, environment)) in enumerate(variants.items())
            for name in names
        }
        return {key: future.result() for key, future in started.items()}


@pytest.mark.campaign
def test_bytes_are_equal(left: dict[tuple[str, str], dict[str, bytes]], tally: Tally) -> None:
    for part, (name, within) in PARTS.items():
        for variant in VARIANTS:
            one, other = (
                {path: data for path, data in left[name, key].items() if within in path} for key in ("", variant)
            )
            assert one
            tally.determinism[part, variant] = difference(one, other)
    wrong = [(part, variant, told) for (part, variant), told in tally.determinism.items() if told]
    assert not [(part, variant, told) for part, variant, told in wrong if part in EQUAL[variant]]


@pytest.mark.campaign
def test_bytes_are_equal_under_another_python(
    left: dict[tuple[str, str], dict[str, bytes]], known: Commands, tmp_path: Path, tally: Tally
) -> None:
    python = os.environ.get(OTHER)
    if not python:
        pytest.skip(f"no other Python: {OTHER} names none")
    version = _answer(python, "import sys; print('%d.%d' % sys.version_info[:2])")
    assert version != f"{sys.version_info.major}.{sys.version_info.minor}", f"{python} is the Python that runs this"
    torch = _answer(python, "import importlib.util; print(importlib.util.find_spec('torch') is not None)") == "True"
    for part, (name, within) in PARTS.items():
        if name in NEED_TORCH and not torch:
            continue
        other = _left(_command(known, name), tmp_path / name, ("--jobs", "1"), {}, python)
        one, other = ({path: data for path, data in side.items() if within in path} for side in (left[name, ""], other))
        assert one
        tally.determinism[part, f"Python {version}"] = difference(one, other)
    assert not [told for (_, variant), told in tally.determinism.items() if told and variant.startswith("Python")]


def _answer(python: str, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
