"""Array types that the whole project shares. Lengths are in angstrom."""

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
