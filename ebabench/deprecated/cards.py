"""Moved to ``ebabench.generators``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "Card": "ebabench.generators.cards",
        "Training": "ebabench.generators.cards",
        "Environment": "ebabench.generators.cards",
        "PublishedEnsemble": "ebabench.generators.cards",
        "read_card": "ebabench.generators.cards",
        "load_card": "ebabench.generators.cards",
        "CARDS": "ebabench.generators.cards",
        "Checkpoint": "ebabench.generators.checkpoints",
        "build": "ebabench.generators.build",
        "code": "ebabench.generators.build",
    },
)
