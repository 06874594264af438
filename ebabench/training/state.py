"""The state of a training run on disk."""

from __future__ import annotations

import copy
import csv
import os
from pathlib import Path

import torch
from torch import nn


class State:
    """What changes during training, and its file."""

    def __init__(self, network: nn.Module, weight_decay: float, folder: Path) -> None:
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self.trained, lr=0.0, weight_decay=weight_decay)
        self.step = 0
        self.log = [["step", "loss", "grad_norm", "learning_rate"]]
        self.path, self.log_path = folder / "state.pt", folder / "log.csv"
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        state = torch.load(self.path, weights_only=True, map_location="cpu")
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.log = state["step"], state["log"]

    def write(self) -> None:
        """Write the state as one file, renamed into place, and a copy of the log for readers."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "log": self.log,
        }
        temporary = self.path.with_name(f".{self.path.name}.part")
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        with self.log_path.open("w", newline="") as file:
            csv.writer(file).writerows(self.log)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Update the exponential moving average of the weights."""
        for mean, live in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(live, 1 - decay)
