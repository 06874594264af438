"""The layouts that references lie in: ``NAME/NAME.pdb`` beside one trajectory a replica, named as ATLAS names them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ebabench.errors import InputError
from ebabench.io.trajectories import is_trajectory
from ebabench.system.files import entry
from ebabench.system.names import composed

ATLAS_FRAMES = {"atlas-protein": 10_001, "atlas-analysis": 1_001}
"""The tiers of ATLAS, and the frames of each of their replicas: every 10 ps, or every 100 ps, of 100 ns."""
ATLAS_REPLICAS = (1, 2, 3)
PINS = "atlas.lock.json"
"""In the folder of references: what was fetched, by target, with the SHA-256 of its files."""
ATLAS_NANOSECONDS = 100.0
"""The length of each replica of ATLAS."""

_ANALYSIS = "atlas-analysis"


def replica_name(name: str, replica: int | str, tier: str) -> str:
    """The file of a replica: ``NAME_R1.xtc`` in the analysis archives of ATLAS, else ``NAME_prod_R1_fit.xtc``."""
    return f"{name}_R{replica}.xtc" if tier == _ANALYSIS else f"{name}_prod_R{replica}_fit.xtc"


def replica_files(root: Path, name: str, tier: str) -> dict[int, Path]:
    """The trajectories of one target, by the number of the replica, in that order."""
    pattern = re.compile(replica_name(re.escape(composed(name)), r"([1-9]\d*)", tier))
    paths = entry(root, name).glob("*.xtc")
    found = {int(match[1]): path for path in paths if (match := pattern.fullmatch(composed(path.name)))}
    return dict(sorted(found.items()))


def other_trajectories(root: Path, name: str, tier: str) -> list[Path]:
    """The trajectories in the folder of a target, or below it, that have no name of a replica."""
    replicas = set(replica_files(root, name, tier).values())
    found = sorted(path for path in entry(root, name).rglob("*") if is_trajectory(path) and path not in replicas)
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


def check_there(data: Path | None) -> None:
    """Raise InputError (``references.missing``) if a place for references is named that does not exist."""
    if data is not None and not data.exists():
        raise InputError(f"--data {data}: no such file or folder", code="references.missing", file=data)


def folder_tier(root: Path, names: Iterable[str]) -> str:
    """The tier to read a folder with: "atlas-analysis" if its files are named so, else "folder".

    Raises InputError if it holds targets of both kinds: their figures could not stand in one table.
    """
    analysis, usual = ([name for name in names if replica_files(root, name, tier)] for tier in (_ANALYSIS, "folder"))
    if analysis and usual:
        raise InputError(
            f"{root}: mixes tiers: {analysis[0]} has trajectories of the analysis archives of ATLAS, {usual[0]} whole "
            "ones; keep them in folders of their own"
        )
    return _ANALYSIS if analysis else "folder"
