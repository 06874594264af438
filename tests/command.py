"""The command line as a user calls it, and a tiny suite to call it on."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Called = Callable[..., tuple[int, str, str]]

SUITE = """
id = "tiny-v1"
title = "Three tripeptides"
split = "test"
family = "peptides"
tier = "md-implicit"
protocol = "corrected"
energy = "amber99sbildn-obc"
samples = 12
seed = 1

[simulation]
temperature_k = 300.0
nanoseconds = 0.03
frame_ps = 1.0
replicas = 2
equilibration_ps = 1.0

[[targets]]
name = "AGS"
sequence = "AGS"

[[targets]]
name = "KDE"
sequence = "KDE"
start = "extended"

[[targets]]
name = "FAV"
sequence = "FAV"
"""


@dataclass(frozen=True)
class Tiny:
    """``suite``: the TOML file; ``data``: its references in the ATLAS layout; ``work``: the simulations behind them."""

    suite: Path
    data: Path
    work: Path

    @property
    def options(self) -> list[str]:
        return ["--suite", str(self.suite), "--data", str(self.data)]


def ebabench(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line as a user calls it, in a process of its own."""
    command = [sys.executable, "-c", "from ebabench.cli import main; main()", *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=1800
    )
