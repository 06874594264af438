"""Moved to ``ebabench.training.settings``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "configured": "ebabench.training.settings",
    },
)
