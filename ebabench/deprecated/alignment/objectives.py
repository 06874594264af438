"""Moved to ``ebabench.training.objectives``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "Comparison": "ebabench.training.objectives",
        "Temperature": "ebabench.training.objectives",
        "boltzmann_weights": "ebabench.training.objectives",
        "sft": "ebabench.training.objectives",
        "eba": "ebabench.training.objectives",
        "eba_dpo": "ebabench.training.objectives",
        "alidiff": "ebabench.training.objectives",
        "abdpo": "ebabench.training.objectives",
        "decompdpo": "ebabench.training.objectives",
        "Objective": "ebabench.training.objectives",
        "NAMES": "ebabench.training.objectives",
        "build": "ebabench.training.objectives",
    },
)
