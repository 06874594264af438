"""The settings of a training run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ebabench.errors import InputError
from ebabench.training import objectives

CPU_FLAGS = Path("/proc/cpuinfo")
_RESIDUALS = ("none", "flow", "loss")
_PRECISIONS = ("auto", "float32", "bfloat16")
_COUNTS = ("steps", "batch_residues", "accumulate", "conformations", "draws", "validate_every", "checkpoint_every")
_NOT_NEGATIVE = (
    *("crop", "warmup", "weight_decay", "ema", "ema_window", "dropout", "beta", "clip_ratio", "anchor"),
    *("anchor_sigma", "objective_sigma", "held_out", "patience"),
)
_BOUNDS: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (_COUNTS, lambda value: value >= 1, "be at least 1"),
    (("learning_rate", "clip"), lambda value: value > 0, "be above 0"),
    (_NOT_NEGATIVE, lambda value: value >= 0, "not be below 0"),
    (("ema",), lambda value: value <= 1, "be at most 1"),
    (("held_out", "dropout"), lambda value: value < 1, "be below 1"),
)


@dataclass(frozen=True)
class TrainConfig:
    """All settings that decide the trained weights, apart from the data and the initial weights.

    Attributes:
        objective: Name of the objective (``ebabench.training.objectives.NAMES``).
        steps: Number of optimiser steps.
        batch_residues: Residues per batch, over targets, conformations K and draws of noise.
        accumulate: Batches per step. Several processes share them; the number of processes changes nothing else.
        conformations: K, the number of conformations that an objective compares.
        draws: Draws of noise per comparison.
        crop: Longer targets are cropped to so many residues; 0 crops none.
        freeze: Whether the trunk is frozen and evaluated once.
        learning_rate: Highest learning rate.
        warmup: Steps of linear increase of the learning rate.
        weight_decay: Of AdamW.
        clip: Largest norm of the gradient.
        ema: Largest decay per step of the moving average of the weights, which is what the checkpoint holds.
        ema_window: Largest span of the moving average, 1 / (1 - decay) steps, as a fraction of ``steps``. At 0.1 the
            initial weights have a share of e^-10 in the checkpoint. 0 sets no limit.
        dropout: Probability with which the network's dropout layers, if it has any, leave out a unit in training.
        alpha_t: alpha T of EBA, AliDiff, EPO and GRPO, b of DPO, ABDPO and DecompDPO.
        beta: Inverse temperature in mol/kJ.
        exponent: Energies are divided by residues^exponent.
        reference: Whether EBA subtracts the losses of the initial network.
        residual: How the density q of the model's own samples enters: ``flow`` and ``loss`` add ln q to beta times the
            energies, so that the Boltzmann distribution is where alignment comes to rest, with q from the probability
            flow or from the denoising loss (``ebabench.training.density``). ``none`` for conformations that no model
            sampled.
        within_basins: Whether the conformations that are compared share a backbone basin
            (``ebabench.training.basins``). Energies then decide within basins, and the populations of basins are left
            to the reference network. The anchor is weighted by the Boltzmann weights of the energies, as it is with
            ``residual``.
        objective_sigma: The objective compares losses at noise levels below this one, 0 at all. Which basin a
            conformation is in is decided at high noise, what it looks like there at low noise.
        crossed: Whether values and gradients come from different draws (``Comparison.crossed``).
        clip_ratio: Largest distance of a ratio of probabilities from 1 that GRPO rewards.
        anchor: Weight of a plain denoising loss. It keeps the width of each basin while the objective moves
            populations between basins.
        anchor_sigma: The anchor uses noise levels below this one. 0 puts it on all levels of the objective, at no
            extra cost, which is right for Boltzmann-distributed frames.
        held_out: Fraction of the targets that validate and do not train. A hash of its name decides about a target, so
            that more targets leave the others where they are. The checkpoint then holds the weights of least
            validation loss.
        validate_every: Steps between two validations.
        patience: Training stops after so many validations without a lower validation loss; 0 stops at ``steps`` only.
        precision: ``bfloat16`` (autocast), ``float32``, or ``auto``: bfloat16 where the device has instructions for it.
        seed: Seed of initial weights, batches and noise.
        checkpoint_every: Steps between two states on disk.
    """

    objective: str = "sft"
    steps: int = 4000
    batch_residues: int = 1024
    accumulate: int = 1
    conformations: int = 2
    draws: int = 4
    crop: int = 0
    freeze: bool = False
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    ema_window: float = 0.1
    dropout: float = 0.0
    alpha_t: float = 5.0
    beta: float = 0.4009
    exponent: float = 0.5
    reference: bool = False
    residual: str = "none"
    within_basins: bool = False
    objective_sigma: float = 0.0
    crossed: bool = False
    clip_ratio: float = 0.2
    anchor: float = 0.0
    anchor_sigma: float = 0.2
    held_out: float = 0.0
    validate_every: int = 100
    patience: int = 0
    precision: str = "auto"
    seed: int = 0
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        if self.precision not in _PRECISIONS:
            raise _wrong("precision", f"precision {self.precision!r}: one of {', '.join(_PRECISIONS)}")
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise _wrong(name, f"{name} must be a finite number")
        for names, fits, said in _BOUNDS:
            for name in names:
                if not fits(getattr(self, name)):
                    raise _wrong(name, f"{name} must {said}")
        if self.patience and not self.held_out:
            raise _wrong("patience", "patience waits for a validation loss: hold targets out (held_out = 0.1, say)")
        if self.build().needs_energies:
            self._check_comparison()
        if self.residual not in _RESIDUALS:
            raise _wrong("residual", f"residual {self.residual!r}: one of {', '.join(_RESIDUALS)}")
        if self.residual != "none" and not (self.build().needs_reference and self.beta):
            raise _wrong("residual", "residual energies correct a reference network: reference = true and beta > 0")
        if self.residual != "none" and self.build().needs_residue_energies:
            raise _wrong("residual", f"objective {self.objective} compares residues; a density is of a conformation")
        if self.within_basins and not self.build().needs_energies:
            raise _wrong("within_basins", f"objective {self.objective} compares no conformations")

    def _check_comparison(self) -> None:
        if self.conformations < 2:
            raise _wrong("conformations", f"objective {self.objective} compares conformations: at least 2")
        if self.crossed and self.draws % 2:
            raise _wrong("draws", f"crossed draws come in pairs; draws = {self.draws} is odd")

    @property
    def compared(self) -> int:
        """Number of conformations of a target that are compared; 1 if the objective compares no energies."""
        return self.conformations if self.build().needs_energies else 1

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: a linear warm-up, then a cosine to a hundredth."""
        warm = min(1.0, (step + 1) / max(self.warmup, 1))
        return self.learning_rate * warm * (0.5 * (1 + math.cos(math.pi * step / self.steps)) + 0.01)

    def decay(self, step: int) -> float:
        """Return the decay of the moving average of the weights at a step.

        The average of a new model must forget its random initial weights early on. An aligned model starts from good
        ones.
        """
        limit = self.ema if not self.ema_window else min(self.ema, max(0.0, 1 - 1 / (self.ema_window * self.steps)))
        return min(limit, (1 + step) / (10 + step)) if self.objective == "sft" else limit

    def on(self, device: str) -> TrainConfig:
        """Return the settings with the precision that a device has instructions for, if it is to be chosen."""
        if self.precision != "auto":
            return self
        return replace(self, precision="bfloat16" if _has_bfloat16(device) else "float32")

    def build(self) -> objectives.Objective:
        """Return the objective. Raises InputError (``unknown.objective``)."""
        return objectives.build(
            self.objective,
            alpha_t=self.alpha_t,
            beta=self.beta,
            exponent=self.exponent,
            reference=self.reference,
            crossed=self.crossed,
            clip_ratio=self.clip_ratio,
        )


def _wrong(setting: str, message: str) -> InputError:
    return InputError(message, code="setting.value", setting=setting)


def _has_bfloat16(device: str) -> bool:
    """Return whether a device multiplies bfloat16 numbers itself. Without these instructions float32 is faster."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    flags = CPU_FLAGS.read_text(encoding="utf-8", errors="replace") if CPU_FLAGS.is_file() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags
