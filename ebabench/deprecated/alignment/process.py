"""Moved to ``ebabench.training.process``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "Denoise": "ebabench.training.process",
        "LogNormal": "ebabench.training.process",
        "LogUniform": "ebabench.training.process",
        "Process": "ebabench.training.process",
        "stratified": "ebabench.training.process",
    },
)
