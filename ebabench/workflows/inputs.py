"""What a caller may give as an ensemble or a reference, as Ensemble and Reference."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ebabench.datasets.reference_layouts import find_references
from ebabench.errors import InputError
from ebabench.io.objects import is_mdanalysis, is_mdtraj
from ebabench.structures import Atoms, Ensemble, Reference, Target
from ebabench.structures.matching import match

Conformations: TypeAlias = Ensemble | str | os.PathLike[str] | Any
"""An Ensemble, a path, an ``mdtraj.Trajectory``, or a Universe or AtomGroup of MDAnalysis."""

TIER = "given"
"""The tier of references that a caller gives in memory or as files."""
UNNAMED = "protein"
_KINDS = "a path, an Ensemble, an mdtraj.Trajectory, or a Universe or AtomGroup of MDAnalysis"


def as_ensemble(given: Conformations, name: str, sequence: str | None = None) -> Ensemble:
    """Return what was given as an ensemble of the target ``name``.

    Args:
        given: The ensemble.
        name: Name of the target.
        sequence: Sequence of the target, by which its files are known in a folder.

    Raises:
        InputError: It is nothing of these kinds (``ensemble.kind``), it cannot be read, or a path holds ensembles of
            several targets (``ensembles.several``).
    """
    if isinstance(given, Ensemble):
        return replace(given, target=name)
    if isinstance(given, str | os.PathLike):
        return _read_path(Path(given), name, sequence)
    if is_mdtraj(given):
        return Ensemble.from_mdtraj(given, target=name)
    if is_mdanalysis(given):
        return Ensemble.from_mdanalysis(given, target=name)
    arrays = "; Ensemble.from_arrays takes arrays, with the names of their atoms" * isinstance(given, np.ndarray)
    told = f"{name}: expected {_KINDS}, not {type(given).__name__}{arrays}"
    raise InputError(told, code="ensemble.kind", target=name)


def as_reference(
    given: Reference | Conformations | Sequence[Conformations], name: str, native: Conformations | None = None
) -> Reference:
    """Return what was given as the reference of the target ``name``.

    Args:
        given: A Reference; a folder ``X`` with ``X.pdb`` and its trajectories, as in ATLAS; one replica; or a list of
            replicas. Atoms of the replicas are matched by name.
        name: Name of the target.
        native: The native structure, whose first conformation counts; by default the first frame of the first replica.

    Raises:
        InputError: There is no replica (``reference.empty``), replicas have different heavy atoms
            (``reference.atoms``) or weights (``reference.weights``), or one of them is nothing that can be read.
    """
    if isinstance(given, Reference):
        return replace(given, target=replace(given.target, name=name))
    if isinstance(given, str | os.PathLike) and (folder := Path(given)).is_dir():
        references = find_references(folder)
        known = references.names if len(references.names) == 1 else [one for one in references.names if one == name]
        if not known:
            raise InputError(
                f"{folder}: holds references of {len(references.names)} targets ({', '.join(references.names[:5])}); "
                "give the folder or the file of one, or its name",
                code="reference.several",
                folder=folder,
            )
        found = references(known[0])
        return replace(found, target=replace(found.target, name=name))
    items = list(given) if isinstance(given, list | tuple) else [given]
    if not items:
        raise InputError(f"{name}: the reference has no replica", code="reference.empty", target=name)
    replicas = [as_ensemble(item, name) for item in items]
    if any(one.weights is not None for one in replicas):
        raise InputError(
            f"{name}: a replica of the reference has weights, and the frames of a reference count alike; draw frames "
            "by their weights",
            code="reference.weights",
            target=name,
        )
    origin = as_ensemble(native, name) if native is not None else replicas[0]
    target = Target(name, origin.atoms.sequence, origin.atoms, np.asarray(origin.positions[0], np.float32))
    positions = [_ordered(replica, target.atoms, number) for number, replica in enumerate(replicas, 1)]
    return Reference(target, tuple(positions), TIER)


def _read_path(path: Path, name: str, sequence: str | None) -> Ensemble:
    """Return the ensemble at a path."""
    from ebabench.io.layouts import find_sources, read_source

    found = find_sources(path, {name: sequence} if sequence else None)
    sources = list(found.sources.values()) or list(found.strangers)
    if len(sources) > 1:
        raise InputError(
            f"{path}: holds ensembles of {len(sources)} targets ({', '.join(one.names[0] for one in sources[:5])}); "
            "give the file or folder of one",
            code="ensembles.several",
            file=path,
        )
    return read_source(sources[0], name)


def name_of(ensemble: object, reference: object) -> str:
    """Return the name of a target: of a Reference or an Ensemble that has one, else of a file, else "protein"."""
    sides = [side[0] if isinstance(side, list | tuple) and side else side for side in (reference, ensemble)]
    names = [side.target.name for side in sides if isinstance(side, Reference)]
    names += [side.target for side in sides if isinstance(side, Ensemble)]
    folders = [Path(side).name for side in sides if isinstance(side, str | os.PathLike) and Path(side).is_dir()]
    files = [Path(side).name.split(".")[0] for side in sides[::-1] if isinstance(side, str | os.PathLike)]
    return next((name for name in (*names, *folders, *files) if name not in ("", UNNAMED)), UNNAMED)


def _ordered(replica: Ensemble, atoms: Atoms, number: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Positions of a replica over ``atoms``, in their order."""
    if replica.atoms.digest() == atoms.digest():
        return np.asarray(replica.positions, np.float32)
    who = f"{replica.target}: replica {number} of the reference"
    try:
        found = match(replica.atoms, atoms)
    except InputError as error:
        raise InputError(f"{who}: {error}", code="reference.atoms", target=replica.target, replica=number) from error
    if len(found.model) < len(atoms):
        raise InputError(
            f"{who} has {len(found.model)} of the {len(atoms)} heavy atoms of the native structure",
            code="reference.atoms",
            target=replica.target,
            replica=number,
        )
    return np.asarray(replica.positions[:, found.model], np.float32)
