"""The state of a training run on disk."""

from __future__ import annotations

import copy
import csv
import io
from pathlib import Path

import torch
from torch import nn

from ebabench.errors import InputError
from ebabench.system.files import replace_file


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
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.log = int(state["step"]), [[str(cell) for cell in row] for row in state["log"]]
        except Exception as error:  # torch raises many kinds for half a file
            reason = (str(error) or type(error).__name__).partition("\n")[0]
            raise InputError(
                f"{self.path} is damaged, or that of another model ({reason}); remove it to train from the beginning",
                code="training.state",
                file=self.path,
            ) from error

    def finite(self) -> bool:
        """Return whether all weights are finite numbers."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.trained)

    def write(self) -> None:
        """Write the state as one file, and a copy of the log for readers. Raises OSError."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "log": self.log,
        }
        data = io.BytesIO()  # torch makes errors of its own of a full disk
        torch.save(state, data)
        replace_file(self.path, data.getvalue())
        self.write_log()

    def write_log(self) -> None:
        """Write the log of the steps so far. Raises OSError."""
        text = io.StringIO()
        csv.writer(text).writerows(self.log)
        replace_file(self.log_path, text.getvalue())

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Update the exponential moving average of the weights."""
        for mean, live in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(live, 1 - decay)
