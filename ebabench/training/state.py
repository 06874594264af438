"""The state of a training run on disk."""

from __future__ import annotations

import copy
import csv
import io
from dataclasses import astuple
from pathlib import Path

import torch
from torch import Tensor, nn

from ebabench.errors import InputError
from ebabench.system.files import replace_file
from ebabench.training.validation import HEADER, Validated


class State:
    """What changes during training, and its file."""

    def __init__(self, network: nn.Module, weight_decay: float, folder: Path) -> None:
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self.trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self.trained, lr=0.0, weight_decay=weight_decay)
        self.step = 0
        self.log = [["step", "loss", "grad_norm", "learning_rate"]]
        self.validations: list[Validated] = []
        self.best: dict[str, Tensor] = {}
        self.path, self.log_path = folder / "state.pt", folder / "log.csv"
        self.validation_path = folder / "validation.csv"
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.log = int(state["step"]), [[str(cell) for cell in row] for row in state["log"]]
            self.validations = [Validated(*row) for row in state["validations"]]
            self.best = dict(state["best"])
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
            "validations": [astuple(one) for one in self.validations],
            "best": self.best,
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
        if self.validations:
            text = io.StringIO()
            csv.writer(text).writerows([HEADER, *(row for one in self.validations for row in one.rows())])
            replace_file(self.validation_path, text.getvalue())

    @property
    def lowest(self) -> Validated:
        """Return the first validation of least value."""
        return min(self.validations, key=lambda one: one.value)

    def validated(self, one: Validated) -> None:
        """Add a validation of the moving average, and keep its weights if it is the best."""
        self.validations.append(one)
        if self.lowest is one:
            self.best = {name: value.clone() for name, value in self.average.state_dict().items()}

    def waits_in_vain(self, patience: int) -> bool:
        """Return whether the last ``patience`` validations were no better than one before them."""
        return bool(patience and self.validations and self.lowest not in self.validations[-patience:])

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Update the exponential moving average of the weights."""
        for mean, live in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(live, 1 - decay)
