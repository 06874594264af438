"""References that a TOML file lists.

::

    tier = "charmm36m-300K"        # the source of the molecular dynamics; "listed" by default

    [targets.KLED]
    topology = "KLED.pdb"          # paths are relative to this file
    replicas = ["a.xtc", ["b-part1.dcd", "b-part2.dcd"]]
    chain = "A"                    # where there are several protein chains

The files of an inner list are one replica, one after the other. ``--reference`` names this file, or the folder of a
``references.toml``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from ebabench.datasets.reference_layouts.replicas import Replicas
from ebabench.errors import InputError
from ebabench.io.chains import select_chain
from ebabench.io.frames import Frames
from ebabench.io.structure_files import read_frames
from ebabench.io.trajectories import is_trajectory, read_trajectory
from ebabench.system.schema import Strict, Text, first_fault, read_toml

NAME = "references.toml"


class Target(Strict):
    """One target of the file."""

    topology: Text
    replicas: tuple[Text | tuple[Text, ...], ...]
    chain: Text | None = None


class Table(Strict):
    """The file."""

    tier: Text = "listed"
    targets: dict[str, Target]


def find(path: Path) -> tuple[str, dict[str, Replicas]] | None:
    """Return the tier, and what reads the replicas of each target; None where there is no such file.

    Raises:
        InputError: The file is not TOML, or breaks the schema (``reference.table``).
    """
    file = path / NAME if path.is_dir() else path
    if file.suffix.lower() != ".toml" or not file.is_file():
        return None
    try:
        table = Table.model_validate(read_toml(file))
    except ValidationError as error:  # it is a ValueError
        raise InputError(f"{file}: {first_fault(error)}", code="reference.table", file=file) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: not TOML: {error}", code="reference.table", file=file) from error
    if empty := [name for name, target in table.targets.items() if not target.replicas]:
        raise InputError(f"{file}: targets.{empty[0]}.replicas: is empty", code="reference.table", file=file)
    if not table.targets:
        raise InputError(f"{file}: targets: is empty", code="reference.table", file=file)
    return table.tier, {name: _made(file.parent, target) for name, target in table.targets.items()}


def _made(folder: Path, target: Target) -> Replicas:
    replicas = [
        tuple(folder / one for one in ((named,) if isinstance(named, str) else named)) for named in target.replicas
    ]
    paths = (folder / target.topology, *(path for one in replicas for path in one))
    return Replicas(partial(_replicas, folder, target, replicas), paths)


def _replicas(folder: Path, target: Target, replicas: Sequence[Sequence[Path]]) -> dict[int, Frames]:
    """Return the frames of each replica, in the order of the file."""
    found = {}
    for number, paths in enumerate(replicas, 1):
        if is_trajectory(paths[0]):
            frames = read_trajectory(paths, folder / target.topology)
        elif len(paths) == 1:
            frames = read_frames(paths[0])
        else:
            raise InputError(f"{paths[0]}: only trajectories are joined", code="reference.table", file=paths[0])
        found[number] = frames if target.chain is None else select_chain(frames, target.chain)
    return found
