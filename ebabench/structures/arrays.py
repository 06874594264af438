"""Array types that the whole project shares. Lengths are in angstrom."""

from typing import Any

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
_COARSE = 0.1  # angstrom between neighbouring numbers of half precision: those from 128 on


def evenly_spaced(total: int, most: int) -> IndexArray:
    """Return ``most`` evenly spaced indices of ``total`` things, the first and the last among them; of fewer, all.

    Example:
        >>> evenly_spaced(9, 3).tolist(), evenly_spaced(2, 3).tolist()
        ([0, 4, 8], [0, 1])
    """
    return np.linspace(0, max(total - 1, 0), min(most, total)).round().astype(np.int64)


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view of an array that cannot be written to; the array itself still can.

    Example:
        >>> read_only(np.zeros(2)).flags.writeable
        False
    """
    view = array.view()
    view.flags.writeable = False
    return view


def told_if_coarse(positions: npt.NDArray[Any], unit: float = 1.0) -> str:
    """Return what is wrong with positions in half precision that lie too far from the origin, or the empty string.

    Args:
        positions: Numbers of any type.
        unit: What makes angstrom of them.
    """
    if positions.dtype != np.float16 or not positions.size:
        return ""
    step = unit * float(np.spacing(np.abs(positions).max()))
    told = f"positions are float16, whose numbers are {step:.3g} angstrom apart where the molecule lies: "
    return told + "center it and write float32" if step > _COARSE else ""  # no number: told elsewhere
