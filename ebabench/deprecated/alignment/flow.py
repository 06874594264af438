"""Moved to ``ebabench.training.flow``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "Flow": "ebabench.training.flow",
    },
)
