"""A folder of ensembles as a model."""

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
    """Draws conformations from one ensemble per target, in any format that ebabench reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Return different conformations, in the order of the file.

        Args:
            target: The molecule.
            samples: Number of conformations.
            seed: Seed of the draw.

        Raises:
            InputError: The folder has too few conformations of the target (``output.too_few``) or none.
        """
        found = matched(files(self.folder, target), target)
        if len(found) < samples:
            raise InputError(
                f"{self.folder}: {len(found)} conformations of {target.name}, {samples} were asked for",
                code="output.too_few",
                target=target.name,
            )
        chosen = np.sort(np.random.default_rng(seed).choice(len(found), samples, replace=False))
        return Ensemble(target.name, found.atoms, found.positions[chosen], found.held_out, found.random_weights)


def build(card: Card, resources: Resources) -> Generator:
    """Return the generator of the card ``files``. Raises InputError (``folder.missing``)."""
    del resources
    folder = Path(str(card.sampling["folder"]))
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; {card.name} reads ensembles from it (--set folder=DIR)",
            code="folder.missing",
            folder=folder,
        )
    return Files(folder)
