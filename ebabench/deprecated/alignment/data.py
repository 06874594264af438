"""Moved to ``ebabench.training.data``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "Conformations": "ebabench.training.data",
        "Trajectories": "ebabench.training.data",
        "load": "ebabench.training.data",
        "with_energies": "ebabench.training.data",
    },
)
