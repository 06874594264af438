"""What a layout gives for a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ebabench.io.frames import Frames

Replicas: TypeAlias = Callable[[], Mapping[int, Frames]]
"""Reads the frames of each replica of a target, over all atoms, by the number of the replica."""
