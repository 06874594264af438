"""Any folder of ensembles as a model: conformations drawn from what lies there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ebabench.errors import InputError
from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.generators.sampling import matched
from ebabench.models.converters import files
from ebabench.structures import Ensemble, Target


class Files:
    """Draws from one ensemble a target, in any format that ebabench reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """``samples`` different conformations, in the order of the file.

        Raises InputError if there are too few, or none of the target.
        """
        found = matched(files(self.folder, target), target)
        if len(found) < samples:
            raise InputError(f"{self.folder}: {len(found)} conformations of {target.name}, {samples} were asked for")
        chosen = np.sort(np.random.default_rng(seed).choice(len(found), samples, replace=False))
        return Ensemble(target.name, found.atoms, found.positions[chosen], found.held_out, found.random_weights)


def build(card: Card, resources: Resources) -> Generator:
    """The generator of the card ``files``. Raises InputError if there is no such folder."""
    del resources
    folder = Path(str(card.sampling["folder"]))
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {card.name} reads ensembles from it (--set folder=DIR)")
    return Files(folder)
