"""Find the references below a path, in any layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path

from ebabench.datasets.layout import folder_tier, other_trajectories, replica_files, replica_name
from ebabench.datasets.reference_layouts import listed, mdcath, timewarp, trajectories
from ebabench.datasets.reference_layouts.replicas import Replicas
from ebabench.datasets.references import (
    OneReference,
    ReferenceFiles,
    References,
    check_once,
    files_stamp,
    make_reference,
    reference_names,
)
from ebabench.errors import InputError
from ebabench.io.weights import check_unweighted
from ebabench.structures import Reference, Target
from ebabench.system.names import composed


class FoundReferences(References):
    """References in some layout. An error of one says that it is the reference's.

    Args:
        root: Where they are.
        layout: Name of the layout.
        tier: The source of the molecular dynamics (``Reference.tier``).
        files: Opens the files of a target's reference, by the target's name.
    """

    def __init__(self, root: Path, layout: str, tier: str, files: Mapping[str, Callable[[], OneReference]]) -> None:
        super().__init__(root, tuple(files), tier)
        self.layout, self._openers = layout, files

    def __call__(self, name: str) -> Reference:
        """Return the reference of a target. Raises InputError; the message says that it is the reference."""
        with _blamed(name):
            return super().__call__(name)

    def target(self, name: str) -> Target:
        """Return a target. Raises InputError; the message says that it is the reference."""
        with _blamed(name):
            return super().target(name)

    def has(self, name: str) -> bool:
        """Return whether the files of a target are on disk."""
        with suppress(InputError):
            self.files(name)
            return True
        return False

    def _open(self, name: str) -> OneReference:
        return self._openers[composed(name)]()


def find_references(
    path: Path | str, *, temperature: int | None = None, chain: str | None = None, modified_as_parent: bool = False
) -> FoundReferences:
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

    def made(layout: str, tier: str, replicas: Mapping[str, Replicas]) -> FoundReferences:
        check_once(path, replicas)
        how = (tier, chain, modified_as_parent)
        own = zip(map(composed, replicas), replicas.values(), strict=True)
        return FoundReferences(path, layout, tier, {name: partial(_Files, name, one, *how) for name, one in own})

    found, table = _atlas(path, chain, modified_as_parent), listed.find(path)
    files = mdcath.find(path) if found is None and table is None else {}
    if temperature is not None and not files:
        raise InputError(
            f"{path}: a temperature is chosen of mdCATH's files only, and none are read here; leave out --temperature",
            code="reference.temperature",
        )
    if found is not None:
        return found
    if table is not None:
        return made("listed in a TOML file", *table)
    if files:
        tier, replicas = mdcath.at(files, temperature)
        return made("mdCATH", tier, replicas)
    if pairs := timewarp.find(path):
        return made("Timewarp", "timewarp", pairs)
    return made("trajectories", "folder", trajectories.find(path))


class _Files:
    """The files of one reference; see ``OneReference``."""

    def __init__(self, name: str, replicas: Replicas, tier: str, chain: str | None, modified_as_parent: bool) -> None:
        self._name, self._replicas, self._tier = name, replicas, tier
        self._chain, self._modified_as_parent = chain, modified_as_parent

    @cached_property
    def target(self) -> Target:
        return self.read().target

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self._replicas.paths if path.exists())

    def stamp(self) -> str:
        return files_stamp(self._replicas.paths, self._chain, self._modified_as_parent)

    def read(self) -> Reference:
        check_unweighted(self._replicas.paths)
        return make_reference(
            self._name,
            self._replicas.read(),
            self._tier,
            chain=self._chain,
            modified_as_parent=self._modified_as_parent,
        )


class _AtlasFiles(ReferenceFiles):
    """The files of one reference in the layout of ATLAS, and no others: see ``OneReference``."""

    def read(self) -> Reference:
        """Return the reference. Raises InputError (``reference.others``) if there are trajectories of other names."""
        if others := other_trajectories(self.root, self.name, self.tier):
            shown, more = ", ".join(str(path) for path in others[:3]), f" and {len(others) - 3} more"
            first = next(iter(self.trajectories.values())).name
            numbered = ", ".join(replica_name(self.name, number, self.tier) for number in (1, 2))
            raise InputError(
                f"beside {first} there are trajectories of other names, which may be replicas, parts of them, or the "
                f"same frames: {shown}{more * (len(others) > 3)}; name every replica {numbered}, ..., or list replicas "
                "and their parts in a references.toml, and move what is none away",
                code="reference.others",
                files=[str(path) for path in others],
            )
        return super().read()


def _atlas(path: Path, chain: str | None, modified_as_parent: bool) -> FoundReferences | None:
    """Return the references in the layout of ATLAS: of all targets in a folder, or of the one whose folder it is."""
    if not path.is_dir():
        return None
    root, names = path, reference_names(path, missing_ok=True)
    if not any(replica_files(root, name, tier) for name in names for tier in ("folder", "atlas-analysis")):
        root, names = path.absolute().parent, [composed(path.absolute().name)]
        if not any(replica_files(root, names[0], tier) for tier in ("folder", "atlas-analysis")):
            return None
    tier = folder_tier(root, names)
    files = {name: partial(_AtlasFiles, root, name, tier, chain, modified_as_parent) for name in names}
    return FoundReferences(root, "ATLAS", tier, files)


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    """Say in the message of an error that it is the reference's."""
    try:
        yield
    except InputError as error:
        named = {"code": error.code, **error.named, "target": name}
        raise InputError(f"the reference of {name} cannot be used: {error}", **named) from error
