"""Moved to ``ebabench.training.denoiser``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "Condition": "ebabench.training.denoiser",
        "Prepared": "ebabench.training.denoiser",
        "Denoiser": "ebabench.training.denoiser",
        "spread": "ebabench.training.denoiser",
    },
)
