"""Energies of the conformations in files, as tables with one row per conformation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ebabench.io.frames import Frames
from ebabench.io.models import NOT_IN_ALL
from ebabench.io.structure_files import read_frames
from ebabench.physics.description import Description, describe
from ebabench.physics.energy import Energies, prepare_energies
from ebabench.physics.molecules import CAPS, Molecule
from ebabench.physics.preparation import CannotPrepare, disulfides, shared_template
from ebabench.physics.protocols import Protocol, get_protocol
from ebabench.physics.whole import whole_molecule, whole_sample
from ebabench.structures.arrays import Positions

if TYPE_CHECKING:
    import pandas as pd

_BLOCK = 20_000_000  # coordinates that are read at a time

Tell = Callable[[str, int, int], None]
"""``tell(what, done, total)``, called as the work goes on."""


def _silent(*_: object) -> None:
    """Tell nothing."""


def energy_table(files: list[Path], protocol: str, *, minimise: bool = False, progress: Tell = _silent) -> pd.DataFrame:
    """Return the energies of the conformations in files.

    Args:
        files: structure files and trajectories, of every kind that `read_frames` reads.
        protocol: name of the energy protocol.
        minimise: True to minimise first.
        progress: called as ``progress(what, done, total)``, with frames.

    Returns:
        One row per conformation: ``file``, ``frame`` (from 1), ``chains`` and ``residues`` (counts; caps are no
        residues), ``energy_kj_per_mol``, ``minimised``, ``hydrogens`` (``given``, ``placed``, or ``placed anew`` and
        why those of the file cannot be used), ``heavy_atoms_added`` (how many the file lacks), ``left_out`` (what of
        the file is not in the energy) and ``reason`` (why there is no energy).

    Raises:
        InputError: there is no such protocol, or a file cannot be read; then nothing is computed.
    """
    import pandas as pd

    chosen = get_protocol(protocol)
    tables = []
    opened = [(file, read_frames(file)) for file in files]
    finished = _counted([frames for _, frames in opened], progress)
    for file, frames in opened:
        for start, found, positions in _blocks(frames, chosen):
            one = _energies(found, positions, protocol, minimise, finished)
            columns = {
                "file": str(file),
                "frame": np.arange(start + 1, start + 1 + len(positions)),
                **_facts(found),
                "energy_kj_per_mol": one.values,
                "minimised": minimise,
                "hydrogens": _hydrogens(found),
                "heavy_atoms_added": None if isinstance(found, CannotPrepare) else len(found.molecule.missing),
                "left_out": "" if isinstance(found, CannotPrepare) else found.left_out,
                "reason": [one.reasons.get(k, "") for k in range(len(positions))],
            }
            tables.append(pd.DataFrame(columns))
    counts = dict.fromkeys(("chains", "residues", "heavy_atoms_added"), "Int64")
    return pd.concat([table.astype(counts) for table in tables], ignore_index=True)


def decomposition_table(
    files: list[Path], protocol: str, *, minimise: bool = False, progress: Tell = _silent
) -> pd.DataFrame:
    """Return the shares of residues and force terms in the energies of the conformations in files.

    Args:
        files: as of `energy_table`.
        protocol: name of the energy protocol.
        minimise: True to minimise first.
        progress: as of `energy_table`.

    Returns:
        One row per residue of a conformation: ``file``, ``frame``, ``chain``, ``residue`` (from 1, over all chains),
        ``residue_name``, one column per force term in kJ/mol, ``left_out`` and ``reason``. A file without a molecule
        has one row per conformation.

    Raises:
        InputError: as `energy_table`; or the protocol has a cutoff.
    """
    import pandas as pd

    from ebabench.physics.decomposition import TERMS, Decomposition, decompose

    chosen = get_protocol(protocol)
    tables = []
    opened = [(file, read_frames(file)) for file in files]
    finished = _counted([frames for _, frames in opened], progress)
    for file, frames in opened:
        for start, found, positions in _blocks(frames, chosen):
            numbers = np.arange(start + 1, start + 1 + len(positions))
            if isinstance(found, CannotPrepare):
                finished(len(positions))
                tables.append(pd.DataFrame({"file": str(file), "frame": numbers, "reason": str(found)}))
                continue
            molecule = found.molecule
            reasons = _gaps(molecule, positions)
            whole = np.array([k not in reasons for k in range(len(positions))])
            finished(len(reasons))
            values = np.full((len(positions), len(molecule.residue_names), len(TERMS)), np.nan)
            part: Decomposition = decompose(molecule, positions[whole], protocol, minimise, finished)
            values[whole] = part.values
            reasons |= {int(np.flatnonzero(whole)[k]): reason for k, reason in part.reasons.items()}
            length = values.shape[1]
            of_residue = np.repeat([c.name for c in molecule.chains], [c.last - c.first + 1 for c in molecule.chains])
            columns: dict[str, Any] = {
                "file": str(file),
                "frame": np.repeat(numbers, length),
                "chain": np.tile(of_residue, len(positions)),
                "residue": np.tile(np.arange(1, length + 1), len(positions)),
                "residue_name": np.tile(molecule.residue_names, len(positions)),
            }
            columns |= dict(zip(TERMS, values.reshape(-1, len(TERMS)).T, strict=True))
            columns["left_out"] = found.left_out
            columns["reason"] = np.repeat([reasons.get(k, "") for k in range(len(positions))], length)
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def described(frames: Frames, protocol: Protocol) -> Description:
    """Return the molecule in a file, with the file's hydrogens if they fit the force field.

    Args:
        frames: the content of the file.
        protocol: names the force field.

    Raises:
        CannotPrepare: there is no molecule that has an energy.
    """
    return _described(frames, whole_sample(frames), protocol)


def _described(frames: Frames, sample: Positions, protocol: Protocol) -> Description:
    """The molecule; ``sample`` [S, atoms, 3] are some of the frames in one piece."""
    found = describe(frames.atoms, sample)
    if found.molecule.hydrogen.any():
        try:
            shared_template(found.molecule, protocol, disulfides(found.molecule.atoms, sample[:1, found.columns])[0])
        except CannotPrepare as reason:
            differ = [note for note in frames.notes if note.endswith(NOT_IN_ALL)]
            return found.without_hydrogens("; ".join((str(reason), *differ)))
    return found


def _blocks(frames: Frames, protocol: Protocol) -> Iterator[tuple[int, Description | CannotPrepare, Positions]]:
    """The number of the first frame, the molecule or why there is none, and the positions, of blocks of frames."""
    found: Description | CannotPrepare
    try:
        sample = whole_sample(frames)
        found = _described(frames, sample, protocol)
    except CannotPrepare as reason:
        yield 0, reason, np.empty((len(frames), 0, 3), np.float32)
        return
    stored = whole_molecule(frames.take(found.columns), found.molecule, sample[:, found.columns]).positions
    size = max(1, _BLOCK // (3 * len(frames.atoms)))
    for start in range(0, len(frames), size):
        yield start, found, np.asarray(stored[start : start + size], np.float32)


def _gaps(molecule: Molecule, positions: Positions) -> dict[int, str]:
    return {k: gap for k, gap in enumerate(molecule.gaps(positions)) if gap}


def _counted(files: Sequence[Frames], progress: Tell) -> Callable[[int], None]:
    """What is called with the number of frames that were finished, and tells how many are by now."""
    total, done = sum(map(len, files)), 0

    def finished(frames: int) -> None:
        nonlocal done
        done += frames
        progress("energies of frames", done, total)

    finished(0)
    return finished


def _energies(
    found: Description | CannotPrepare,
    positions: Positions,
    protocol: str,
    minimise: bool,
    finished: Callable[[int], None],
) -> Energies:
    values = np.full(len(positions), np.nan)
    if isinstance(found, CannotPrepare):
        finished(len(positions))
        return Energies(values, dict.fromkeys(range(len(positions)), str(found)))
    reasons = _gaps(found.molecule, positions)
    whole = np.array([k for k in range(len(positions)) if k not in reasons], np.int64)
    finished(len(reasons))
    part = prepare_energies(found.molecule, positions[whole], protocol, minimise, finished)
    values[whole] = part.values
    return Energies(values, reasons | {int(whole[k]): reason for k, reason in part.reasons.items()})


def _facts(found: Description | CannotPrepare) -> dict[str, Any]:
    if isinstance(found, CannotPrepare):
        return {"chains": None, "residues": None}
    residues = sum(name not in CAPS for name in found.molecule.residue_names)
    return {"chains": len(found.molecule.chains), "residues": residues}


def _hydrogens(found: Description | CannotPrepare) -> str:
    if isinstance(found, CannotPrepare):
        return ""
    if found.misfit:
        return f"placed anew: {found.misfit}"
    return "given" if found.molecule.hydrogen.any() else "placed"
