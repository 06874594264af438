"""Moved to ``ebabench.training.stage``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "DenoiserKind": "ebabench.training.stage",
        "DENOISERS": "ebabench.training.stage",
        "Stage": "ebabench.training.stage",
        "begun": "ebabench.training.stage",
        "align": "ebabench.training.stage",
    },
)
