"""Moved to ``ebabench.training.batches``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "Crop": "ebabench.training.batches",
        "Example": "ebabench.training.batches",
        "Batch": "ebabench.training.batches",
        "Batches": "ebabench.training.batches",
        "residues_of_crop": "ebabench.training.batches",
    },
)
