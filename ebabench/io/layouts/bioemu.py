"""BioEmu 1 and 2: a folder per target with ``samples.xtc`` and ``topology.pdb`` (1) or ``topology.cif`` (2).

BioEmu 1 writes N, CA, C, CB and O. Frames that its filter rejects are not in ``samples.xtc``.
``bioemu.sidechain_relax`` writes the same samples again with side chains (``samples_sidechain_rec.*``), relaxed by MD
(``samples_md_equil.*``), and on request free MD from each of them (``frame0_md_traj.xtc``). BioEmu 2 keeps all frames,
and ``physicality.json`` says which of them it rejects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ebabench.io.layouts.listing import Listing
from ebabench.io.layouts.source import LeftOut, Source
from ebabench.io.layouts.with_topology import trajectories, with_topology

REPORT = "physicality.json"
"""The file that says which frames BioEmu 2 rejects."""
_KINDS = {
    "side chains": re.compile(r".*_sidechain_rec\.xtc"),
    "samples": re.compile(r"samples\.xtc"),
    "relaxed": re.compile(r".*_md_equil\.xtc"),
    "free": re.compile(r"frame\d+_md_traj\.xtc"),
}
"""The kinds of trajectory, in the order in which they are preferred."""
_REASONS = {
    "side chains": "the same samples with side chains",
    "samples": "the same samples without side chains",
    "relaxed": "the same samples after relaxation by MD",
    "free": "MD that starts from a sample, not a sample of BioEmu",
}
_REJECTED = re.compile(r"samples_unphysical\.xtc")
_BATCH = re.compile(r"batch_\d+_\d+\.npz")


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layouts of BioEmu."""
    folders: dict[Path, dict[str, Path]] = {}
    for path in listing.files:
        folders.setdefault(path.parent, {})[path.name] = path
    return [source for files in folders.values() if (source := _folder(listing, files))]


def _folder(listing: Listing, files: Mapping[str, Path]) -> Source | None:
    kinds = {
        label: [path for name, path in files.items() if pattern.fullmatch(name)] for label, pattern in _KINDS.items()
    }
    if not any(name.lower().startswith("topology.") for name in files):
        kinds["samples"] = []
    batches = [LeftOut(path, _batch(kinds)) for name, path in files.items() if _BATCH.fullmatch(name)]
    rejected = [
        one
        for name, path in files.items()
        if _REJECTED.fullmatch(name)
        for one in with_topology(path, "BioEmu's filter rejected these frames as unphysical")
    ]
    taken = next((label for label, paths in kinds.items() if paths), None)
    if taken is None and not batches and not rejected:
        return None
    version = 2 if "topology.cif" in files or REPORT in files else 1
    report = files.get(REPORT) if taken == "samples" else None
    chosen = kinds[taken] if taken else []
    left = [
        one
        for label, paths in kinds.items()
        if label != taken
        for path in paths
        for one in with_topology(path, f"{_REASONS[label]}: {_few(chosen)} is read")
    ]
    names = listing.folders(next(iter(files.values())))
    found = trajectories(f"BioEmu {version}", names, chosen, [*left, *batches, *rejected], report)
    return found.tidy()


def _batch(kinds: Mapping[str, list[Path]]) -> str:
    if any(kinds.values()):
        return "frames of residues, which the trajectory holds as atoms"
    return "frames of residues; BioEmu writes samples.xtc when it has drawn all: run the same command to its end"


def _few(paths: list[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"{paths[0].name} and {len(paths) - 1} more"
