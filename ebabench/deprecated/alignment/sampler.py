"""Moved to ``ebabench.training.sampler``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "sample": "ebabench.training.sampler",
    },
)
