"""Moved to ``ebabench.training.diffusion``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "Edm": "ebabench.training.diffusion",
    },
)
