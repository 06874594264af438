"""What models leave in their own formats, as ensembles: one converter a format, not one a model.

Each is called with the folder that holds the output and a target, and reads that target's part of it.
"""

from __future__ import annotations

from pathlib import Path

from ebabench.errors import InputError
from ebabench.formats import find_ensembles, read_ensemble
from ebabench.structures import Ensemble, Target


def files(folder: Path, target: Target) -> Ensemble:
    """``TARGET.pdb`` with many models, ``TARGET.xtc`` beside its topology, or PDB or mmCIF files under ``TARGET/``.

    Raises InputError if the target is not there or cannot be read.
    """
    found = find_ensembles(folder)
    if target.name not in found:
        raise InputError(f"{folder}: nothing of {target.name} in it, but of {', '.join(list(found)[:5])}")
    return read_ensemble(found[target.name], target.name)
