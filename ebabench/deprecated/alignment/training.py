"""Moved to ``ebabench.training.loop``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "TrainConfig": "ebabench.training.loop",
        "train": "ebabench.training.loop",
        "claim": "ebabench.training.loop",
    },
)
