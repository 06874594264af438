"""What is computed frame by frame, once for all pairs that have a frame in common.

The pairs of the noise floor have frames of one reference as model and as MD.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import Positions

_Rows = npt.NDArray[Any]
_BLOCK = 128  # frames


class SharedFrames:
    """Rows of values by the bytes of the frame that they were computed from. Several threads may ask at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: dict[tuple[str, bytes], Future[_Rows]] = {}

    def rows(self, name: str, frames: Positions, compute: Callable[[Positions], _Rows]) -> _Rows:
        """Return the values [F, ...] of frames. Each distinct frame is computed once.

        Args:
            name: Name of the values, and of all that they depend on beside the frame.
            frames: [F, N, 3].
            compute: Returns the values [K, ...] of frames [K, N, 3]. Those of a frame do not depend on the others.
        """
        frames = np.ascontiguousarray(frames)
        keys = [(name, hashlib.blake2b(frame.data, digest_size=16).digest()) for frame in frames]
        with self._lock:
            own = {key: k for k, key in enumerate(keys) if key not in self._found}
            self._found |= {key: Future() for key in own}
            cells = {key: self._found[key] for key in keys}
        try:
            waiting = list(own.items())
            for start in range(0, len(waiting), _BLOCK):
                some = waiting[start : start + _BLOCK]
                for (key, _), row in zip(some, compute(frames[[k for _, k in some]]), strict=True):
                    cells[key].set_result(row)
        except BaseException as error:
            for key in own:
                if not cells[key].done():
                    cells[key].set_exception(error)
            raise
        return np.stack([cells[key].result() for key in keys])
