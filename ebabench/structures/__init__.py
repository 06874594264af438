"""What things are: atoms, targets, ensembles and references, and how they are named, matched and checked."""

from ebabench.structures.ensembles import (
    ONE_TO_THREE,
    THREE_TO_ONE,
    Atoms,
    Ensemble,
    Reference,
    StoredFrames,
    Target,
)

__all__ = ["ONE_TO_THREE", "THREE_TO_ONE", "Atoms", "Ensemble", "Reference", "StoredFrames", "Target"]
