"""Moved to ``ebabench.training.cartesian_loss``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "superposed": "ebabench.training.cartesian_loss",
        "aligned_error": "ebabench.training.cartesian_loss",
        "smooth_lddt": "ebabench.training.cartesian_loss",
        "denoising_loss": "ebabench.training.cartesian_loss",
        "of_residues": "ebabench.training.cartesian_loss",
    },
)
