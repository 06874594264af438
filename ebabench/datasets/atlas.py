"""ATLAS: its archives fetched, verified and pinned. Standard MD of 1,390 protein chains, three times 100 ns each.

Vander Meersche, Cretin, Gheeraert, Gelly, Galochkina: "ATLAS: protein flexibility description from atomistic molecular
dynamics simulations", Nucleic Acids Research 52, D384 (2024).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ebabench.datasets.layout import ATLAS_FRAMES, ATLAS_REPLICAS, PINS, folder_tier, replica_name
from ebabench.datasets.references import read_reference
from ebabench.errors import InputError, RunError
from ebabench.structures.geometry import superpose
from ebabench.system.archives import unpack
from ebabench.system.download import Pins, Progress, UnreachableError, download, sha256
from ebabench.system.files import exclusive

BASE = "https://www.dsimb.inserm.fr"
LICENCE = (
    "ATLAS is licensed CC BY-NC 4.0: not for commercial use; cite Vander Meersche et al., Nucleic Acids Research 2024"
)
LOCK = PINS
_START_TOLERANCE = 0.05  # angstrom: XTC keeps 0.01, a PDB file 0.001


def urls(chain: str, tier: str, base: str = BASE) -> list[str]:
    """Where the archive of a chain is to be had: the REST interface, then the static path."""
    kind = tier.removeprefix("atlas-")
    return [
        f"{base.rstrip('/')}/ATLAS/api/ATLAS/{kind}/{chain}",
        f"{base.rstrip('/')}/ATLAS/database/ATLAS/{chain}/{chain}_{kind}.zip",
    ]


def check_tier(root: Path, tier: str) -> None:
    """Raises InputError if the folder holds another tier of ATLAS already: tiers are never mixed."""
    names = [path.parent.name for path in root.glob("*/*.pdb") if path.stem == path.parent.name]
    if names and (found := folder_tier(root, names).replace("folder", "atlas-protein")) != tier:
        raise InputError(f"{root} holds {found}, not {tier}, and tiers are never mixed: choose another folder")


def fetch_chain(
    root: Path, chain: str, sequence: str, tier: str, base: str = BASE, progress: Progress | None = None
) -> None:
    """Have one chain in ``root``, verified (``verify``) and as it was at first sight (``root/atlas.lock.json``).

    A chain that lies there already is not fetched again. What is fetched is unpacked and verified aside, and put into
    place only if it is right. Interrupted, the next call goes on.

    Raises:
        UnreachableError: the server cannot be reached.
        RunError: the chain cannot be had or is not what it should be; the message says where and why.
        OSError: it cannot be written.
    """
    work = root / ".downloads" / f"{chain}-{tier}"
    work.mkdir(parents=True, exist_ok=True)
    with exclusive(work):
        if (root / chain).exists():
            _check(root, chain, sequence, tier)
        else:
            _obtain(root, work, chain, sequence, tier, base, progress)
        shutil.rmtree(work, ignore_errors=True)


def verify(root: Path, chain: str, sequence: str, tier: str) -> dict[str, Any]:
    """Check a chain against what its tier must be, and give the facts to pin.

    Checked: sequence, replicas and their frames, the number of atoms of every trajectory against the PDB file, the
    last frame of each (whole or cut), and that each begins at the PDB structure, to 0.05 A after superposition.
    Trajectories are not read as a whole. Raises RunError.
    """
    try:
        reference = read_reference(root, chain, tier)
    except InputError as error:
        raise RunError(str(error)) from error
    if reference.target.sequence != sequence:
        raise RunError(f"{chain}: another protein: {reference.target.sequence} in place of {sequence}")
    found = {number: len(frames) for number, frames in zip(reference.numbers, reference.replicas, strict=True)}
    if found != dict.fromkeys(ATLAS_REPLICAS, ATLAS_FRAMES[tier]):
        raise RunError(f"{chain}: frames of each replica are {found}, but {tier} has {ATLAS_FRAMES[tier]} of three")
    native = reference.target.native - reference.target.native.mean(0)
    for number, frames in zip(reference.numbers, reference.replicas, strict=True):
        start = superpose(np.asarray(frames[:1]), native)[0]
        if (off := np.linalg.norm(start - native, axis=1).max()) > _START_TOLERANCE:
            raise RunError(f"{chain}: replica {number} begins {off:.2f} A away from {chain}.pdb, as another run would")
    files = {name: sha256(root / chain / name) for name in _files(chain, tier)}
    return {"tier": tier, "frames": ATLAS_FRAMES[tier], "heavy_atoms": len(reference.target.atoms), "sha256": files}


def _files(chain: str, tier: str) -> list[str]:
    return [f"{chain}.pdb", *(replica_name(chain, number, tier) for number in ATLAS_REPLICAS)]


def _check(root: Path, chain: str, sequence: str, tier: str) -> None:
    """A chain that lies there: against its pin, or at first sight verified and pinned."""
    pins = Pins(root / LOCK)
    pinned = pins.get(chain, sha256=dict)
    if pinned is None:
        pins.pin(chain, verify(root, chain, sequence, tier) | {"source": "was there"})
        return
    for name, expected in pinned["sha256"].items():
        path = root / chain / name
        if not path.is_file() or sha256(path) != expected:
            state = "has changed since it was pinned" if path.is_file() else "is gone"
            raise RunError(f"{path} {state}; remove {root / chain} to fetch it again")
    pins.unlock()


def _obtain(root: Path, work: Path, chain: str, sequence: str, tier: str, base: str, progress: Progress | None) -> None:
    failures = []
    for number, url in enumerate(urls(chain, tier, base), 1):
        archive = work / f"{number}.zip"
        try:
            if not archive.exists():
                download(url, archive, progress)
            facts = _unpacked(work, archive, chain, sequence, tier) | {"source": url}
            _same(facts, Pins(root / LOCK).get(chain, sha256=dict), chain)
        except UnreachableError:
            raise
        except RunError as error:
            archive.unlink(missing_ok=True)
            failures.append(str(error) if str(error).startswith(url) else f"{url}: {error}")
        else:
            (work / chain).rename(root / chain)
            Pins(root / LOCK).pin(chain, facts)
            return
    raise RunError("; ".join(failures))


def _unpacked(work: Path, archive: Path, chain: str, sequence: str, tier: str) -> dict[str, Any]:
    wanted, folder = _files(chain, tier), work / chain
    shutil.rmtree(folder, ignore_errors=True)

    def place(path: PurePosixPath) -> Path | None:
        return folder / path.name if path.name in wanted else None

    written = [path.name for path in unpack(archive, place)]
    if lacking := [name for name in wanted if name not in written]:
        raise RunError(f"the archive has no {', '.join(lacking)}")
    return verify(work, chain, sequence, tier)


def _same(facts: Mapping[str, Any], pinned: Mapping[str, Any] | None, chain: str) -> None:
    if pinned is None:
        return
    if others := [name for name, digest in pinned["sha256"].items() if facts["sha256"].get(name) != digest]:
        raise RunError(f"{', '.join(others)}: not what was pinned for {chain} at first sight")
