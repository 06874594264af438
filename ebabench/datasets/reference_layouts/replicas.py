"""What a layout gives for a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ebabench.io.frames import Frames


class Replicas(NamedTuple):
    """The replicas of a target.

    Attributes:
        read: Reads the frames of each replica, over all atoms, by the number of the replica. It can be pickled.
        paths: The files that it reads.
    """

    read: Callable[[], Mapping[int, Frames]]
    paths: tuple[Path, ...]
