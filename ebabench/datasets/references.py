"""Reads molecular dynamics in the layouts of ATLAS (``ebabench.datasets.layout``)."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from ebabench.datasets.layout import PINS, replica_files, replica_name
from ebabench.errors import InputError, unknown
from ebabench.io.chains import heavy_atoms, modifications, named_chain
from ebabench.io.frames import Frames
from ebabench.io.topologies import Topology, read_topology
from ebabench.io.trajectories import read_trajectory
from ebabench.io.weights import check_unweighted
from ebabench.structures import Reference, StoredFrames, Target
from ebabench.structures.arrays import Positions
from ebabench.system.array_cache import file_sha256
from ebabench.system.download import Pins
from ebabench.system.files import entry
from ebabench.system.names import check_name, composed

_AT_ONCE = 8_000_000  # coordinates, 32 MB: about ten times the largest embedded target
_HELD = 16  # references


def reference_names(root: Path, *, missing_ok: bool = False) -> list[str]:
    """Return the targets in a folder of that layout. Raises InputError if there are none, unless ``missing_ok``."""
    found = ((composed(path.parent.name), composed(path.stem)) for path in root.glob("*/*.pdb"))
    names = sorted(folder for folder, stem in found if stem == folder)
    for name in names:
        check_name(name, f"{root}: target")
    check_once(root, names)
    if not names and not missing_ok:
        raise InputError(f"{root}: no references in it (NAME/NAME.pdb with NAME/NAME_prod_R1_fit.xtc)")
    return names


def check_once(root: Path, names: Iterable[str]) -> None:
    """Raise InputError (``reference.twice``) if a folder has files of one name in two codings of an accent."""
    if twice := [name for name, count in Counter(map(composed, names)).items() if count > 1]:
        raise InputError(
            f"{root}: holds {twice[0]} twice, with its accents coded in two ways; remove one",
            code="reference.twice",
            target=twice[0],
            file=root,
        )


def read_reference(
    root: Path, name: str, tier: str, *, chain: str | None = None, modified_as_parent: bool = False
) -> Reference:
    """Return the reference of one target: heavy atoms, angstrom, every replica, in the order of its number.

    The native structure is ``NAME.pdb``. Long trajectories stay on disk and are read when they are needed.

    Args:
        root: The folder that holds a folder per target.
        name: Name of the target.
        tier: Kind of the trajectories, which names their files (``ebabench.datasets.layout``).
        chain: The identifier of the protein chain that is meant, where there are several.
        modified_as_parent: Take a modified residue for the amino acid that it derives from.

    Raises:
        InputError: A file is missing (``reference.missing``) or damaged, a trajectory is of other atoms than
            ``NAME.pdb``, or there are several protein chains.
    """
    return ReferenceFiles(root, name, tier, chain, modified_as_parent).read()


def make_reference(
    name: str, frames: Mapping[int, Frames], tier: str, *, chain: str | None = None, modified_as_parent: bool = False
) -> Reference:
    """Return the reference of one target from the frames of its replicas: the heavy atoms of one protein chain.

    The structure in the topology of the first replica is the native structure; without one, its first frame is.

    Args:
        name: The target.
        frames: All atoms of each replica, by its number.
        tier: The source of the molecular dynamics.
        chain: The identifier of the chain that is meant, where there are several.
        modified_as_parent: Take a modified residue for the amino acid that it derives from.

    Raises:
        InputError: There are several protein chains, replicas have different heavy atoms (``reference.atoms``), or
            coordinates are not finite (``reference.not-finite``), or frames have weights that differ
            (``reference.weights``).
    """
    for one in frames.values():
        if one.weights is not None and np.ptp(one.weights) != 0:
            raise InputError(
                f"{one.source}: has weights, and the frames of a reference count alike; draw frames by their weights, "
                "and leave the weights out",
                code="reference.weights",
                target=name,
                file=one.source,
            )
    chains = [named_chain(one, chain) for one in frames.values()]
    read = [heavy_atoms(one, modified_as_parent=modified_as_parent) for one in chains]
    first, atoms = read[0]
    for heavy, own in read[1:]:
        if own.digest() != atoms.digest():
            raise InputError(
                f"{heavy.source}: has other heavy atoms than {first.source} ({len(own)} against {len(atoms)}); "
                "replicas of one target have the same",
                code="reference.atoms",
                target=name,
                file=heavy.source,
            )
    stored = [heavy.positions for heavy, _ in read]
    replicas: tuple[Positions | StoredFrames, ...] = tuple(stored)
    if sum(math.prod(replica.shape) for replica in stored) <= _AT_ONCE:
        replicas = tuple(_finite(heavy.source, np.asarray(heavy.positions[:])) for heavy, _ in read)
    target = Target(name, atoms.sequence, atoms, first.first())
    return Reference(target, replicas, tier, tuple(frames), modifications(first), tuple(one.source for one in chains))


def files_stamp(paths: Iterable[Path], chain: str | None, modified_as_parent: bool) -> str:
    """Return what changes when a file is written to, or is replaced, or is read in another way. Nothing is opened."""
    told = [(path.resolve(), path.stat()) for path in paths]
    stamps = [f"{path}|{at.st_size}|{at.st_mtime_ns}|{at.st_ctime_ns}" for path, at in told]
    return "|".join(stamps + [f"chain {chain}"] * (chain is not None) + ["modified as parent"] * modified_as_parent)


class OneReference(Protocol):
    """The files of one target's reference, before they are read."""

    @property
    def target(self) -> Target:
        """The target."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the trajectories."""
        ...

    def stamp(self) -> str:
        """Return what changes when a file is written to or replaced. Nothing is opened."""
        ...

    def read(self) -> Reference:
        """Return the reference."""
        ...


class ReferenceFiles:
    """The files of one target's reference in the layouts of ATLAS. The topology is parsed once.

    Args:
        root: See ``read_reference``.
        name: See ``read_reference``.
        tier: See ``read_reference``.
        chain: See ``read_reference``.
        modified_as_parent: See ``read_reference``.

    Raises:
        InputError: A file is missing (``reference.missing``).
    """

    def __init__(
        self, root: Path, name: str, tier: str, chain: str | None = None, modified_as_parent: bool = False
    ) -> None:
        self.root, self.name, self.tier = root, name, tier
        self.trajectories = replica_files(root, name, tier)
        self._folder, self._chain, self._modified_as_parent = entry(root, name), chain, modified_as_parent
        self._path = entry(self._folder, f"{name}.pdb")
        if not self._path.is_file() or not self.trajectories:
            expected = f"{name}.pdb and {replica_name(name, 1, tier)}"
            raise InputError(
                f"no molecular dynamics of {name} in {self._folder}: expected {expected}",
                code="reference.missing",
                target=name,
                folder=self._folder,
            )

    @cached_property
    def target(self) -> Target:
        """The target, from the topology alone: no trajectory is opened."""
        named = self._topology
        if named.positions is None:
            raise InputError(f"{self._path}: has no positions", code="reference.native", file=self._path)
        whole = Frames(str(self._path), named.atoms, named.positions[None], native=named.positions)
        heavy, atoms = heavy_atoms(named_chain(whole, self._chain), modified_as_parent=self._modified_as_parent)
        return Target(self.name, atoms.sequence, atoms, heavy.first())

    def stamp(self) -> str:
        """Return what changes when a file is written to or replaced. Nothing is opened."""
        return files_stamp((self._path, *self.trajectories.values()), self._chain, self._modified_as_parent)

    @property
    def size(self) -> int:
        """Bytes of the trajectories."""
        return sum(path.stat().st_size for path in self.trajectories.values())

    def read(self) -> Reference:
        """Return the reference; see ``read_reference``."""
        check_unweighted((self._path, *self.trajectories.values()))
        frames = {number: read_trajectory(path, self._topology) for number, path in self.trajectories.items()}
        return make_reference(
            self.name, frames, self.tier, chain=self._chain, modified_as_parent=self._modified_as_parent
        )

    @cached_property
    def _topology(self) -> Topology:
        return read_topology(self._path)


def check_pinned(root: Path, name: str) -> None:
    """Check the files of a reference against the SHA-256 that they had when they were fetched, where that was pinned.

    Trajectories have no sums of their own: a changed byte is another coordinate, and nothing else tells. A file that
    was not written to since is not read again.

    Raises:
        InputError: A file has changed (``reference.changed``), or the pins cannot be read.
    """
    if not root.is_dir():  # a file that holds references, or lists them
        return
    pinned = Pins(root / PINS).get(name, sha256=dict) or {"sha256": {}}
    for file, expected in pinned["sha256"].items():
        path = entry(root, name) / file
        if path.is_file() and file_sha256(path) != expected:
            raise InputError(
                f"{path} has changed since it was fetched: its SHA-256 is not that in {PINS}; remove {root / name} and "
                "fetch it again",
                code="reference.changed",
                file=path,
                target=name,
            )


class References:
    """The references of several targets: called with a name, it returns a Reference.

    Within a process, each topology is parsed once, and each trajectory is opened once as long as no more than 16
    references are in use. Pickled, it takes no positions along.

    Args:
        root: The folder that holds a folder per target.
        names: Names of the targets.
        tier: Kind of the trajectories.
        check: Called with a reference that was read, to refuse it.
        explain: Called with the error of a reference that is missing; returns a better one.
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        tier: str,
        check: Callable[[Reference], None] | None = None,
        explain: Callable[[InputError], InputError] | None = None,
    ) -> None:
        self.root, self.names, self.tier = root, tuple(map(composed, names)), tier
        self._check, self._explain = check, explain
        self._forget()

    def __call__(self, name: str) -> Reference:
        """Return the reference of a target. Raises InputError."""
        with self._lock:
            if name in self._read:
                self._read.move_to_end(name)
            else:
                files = self.files(name)
                check_pinned(self.root, name)
                reference = files.read()
                if self._check is not None:
                    self._check(reference)
                self._read[name] = reference
                if len(self._read) > _HELD:
                    self._read.popitem(last=False)
            return self._read[name]

    def target(self, name: str) -> Target:
        """Return a target from its topology alone. Raises InputError."""
        return self.files(name).target

    def files(self, name: str) -> OneReference:
        """Return the files of a reference. Raises InputError (``unknown.target``, ``reference.missing``)."""
        if composed(name) not in self.names:
            raise unknown("target", name, self.names)
        if name not in self._files:
            try:
                self._files[name] = self._open(name)
            except InputError as error:
                raise self._explain(error) if self._explain else error from error
        return self._files[name]

    def here(self) -> list[str]:
        """Return the targets whose files are on disk."""
        return [name for name in self.names if self.has(name)]

    def has(self, name: str) -> bool:
        """Return whether the files of a target are on disk."""
        return bool(replica_files(self.root, name, self.tier))

    def _open(self, name: str) -> OneReference:
        return ReferenceFiles(self.root, name, self.tier)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_files", "_read")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._lock = Lock()
        self._files: dict[str, OneReference] = {}
        self._read: OrderedDict[str, Reference] = OrderedDict()


def _finite(source: str, replica: Positions) -> Positions:
    if not (finite := np.isfinite(replica).all((1, 2))).all():
        frame = int(finite.argmin()) + 1
        raise InputError(
            f"{source}: NaN or infinite positions in frame {frame}; leave the frame out",
            code="reference.not-finite",
            file=source,
            frame=frame,
        )
    return replica
