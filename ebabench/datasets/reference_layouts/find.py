"""Find the references below a path, in any layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ebabench.datasets.layout import folder_tier, replica_files
from ebabench.datasets.reference_layouts import listed, mdcath, timewarp, trajectories
from ebabench.datasets.reference_layouts.replicas import Replicas
from ebabench.datasets.references import make_reference, read_reference, reference_names
from ebabench.errors import InputError
from ebabench.structures import Reference


@dataclass(frozen=True)
class References:
    """The references below a path. An instance can be pickled.

    Attributes:
        path: The path.
        layout: Name of the layout.
        tier: The source of the molecular dynamics (``Reference.tier``).
        readers: Reads the reference of a target, by name.
    """

    path: Path
    layout: str
    tier: str
    readers: Mapping[str, Callable[[], Reference]]

    @property
    def names(self) -> list[str]:
        """Return the names of the targets."""
        return list(self.readers)

    def __call__(self, name: str) -> Reference:
        """Return the reference of a target.

        Raises:
            InputError: It cannot be read. The message says that it is the reference.
        """
        try:
            return self.readers[name]()
        except InputError as error:
            named = {"code": error.code, **error.named, "target": name}
            raise InputError(f"the reference of {name} cannot be used: {error}", **named) from error


def find_references(
    path: Path | str, *, temperature: int | None = None, chain: str | None = None, modified_as_parent: bool = False
) -> References:
    """Return the references below a path.

    Args:
        path: A folder in the layout of ATLAS (``X/X.pdb`` with ``X_prod_R1_fit.xtc``); mdCATH's HDF5 files, or one of
            them; a folder of Timewarp's files; a folder of trajectories beside topologies, as MDGen and
            bioemu-benchmarks have them; a TOML file that lists topology and replicas per target
            (``reference_layouts.listed``); or the folder of one target in one of these layouts.
        temperature: In kelvin, of mdCATH.
        chain: The identifier of the protein chain that is meant, where a file has several.
        modified_as_parent: Take a modified residue for the amino acid that it derives from.

    Raises:
        InputError: There are no references (``reference.none``), or the temperature is not given or is another one
            than those that are there (``reference.temperature``).
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", code="reference.missing", file=path)

    def made(layout: str, tier: str, replicas: Mapping[str, Replicas]) -> References:
        readers = {
            name: partial(_read, name, one, tier, chain=chain, modified_as_parent=modified_as_parent)
            for name, one in replicas.items()
        }
        return References(path, layout, tier, readers)

    if (found := _atlas(path, chain, modified_as_parent)) is not None:
        return found
    if (table := listed.find(path)) is not None:
        return made("listed in a TOML file", *table)
    if files := mdcath.find(path):
        tier, replicas = mdcath.at(files, temperature)
        return made("mdCATH", tier, replicas)
    if temperature is not None:
        raise InputError(
            f"{path}: a temperature is chosen of mdCATH's files only; there are none", code="reference.temperature"
        )
    if pairs := timewarp.find(path):
        return made("Timewarp", "timewarp", pairs)
    return made("trajectories", "folder", trajectories.find(path))


def _read(name: str, replicas: Replicas, tier: str, *, chain: str | None, modified_as_parent: bool) -> Reference:
    return make_reference(name, replicas(), tier, chain=chain, modified_as_parent=modified_as_parent)


def _atlas(path: Path, chain: str | None, modified_as_parent: bool) -> References | None:
    """Return the references in the layout of ATLAS: of all targets in a folder, or of the one whose folder it is."""
    path = path.absolute()
    if not path.is_dir():
        return None
    root, names = path, reference_names(path, missing_ok=True)
    if not any(replica_files(root, name, tier) for name in names for tier in ("folder", "atlas-analysis")):
        root, names = path.parent, [path.name]
        if not any(replica_files(root, path.name, tier) for tier in ("folder", "atlas-analysis")):
            return None
    tier = folder_tier(root, names)
    reader = partial(read_reference, root, tier=tier, chain=chain, modified_as_parent=modified_as_parent)
    return References(path, "ATLAS", tier, {name: partial(reader, name) for name in names})
