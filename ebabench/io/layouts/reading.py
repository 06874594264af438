"""Reading the conformations of a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ebabench.errors import InputError
from ebabench.io.chains import heavy_atoms, modifications, named_chain, select_chain
from ebabench.io.frames import Frames
from ebabench.io.layouts.arrays import ATOM37
from ebabench.io.layouts.atom37 import read_atom37
from ebabench.io.layouts.listing import kind
from ebabench.io.layouts.source import Part, Source
from ebabench.io.models import Models, join_models
from ebabench.io.npz import read_npz
from ebabench.io.structures import parse_models
from ebabench.io.trajectories import read_trajectory
from ebabench.io.weights import Tables, Weights, check_all_weighted
from ebabench.structures import Atoms, Ensemble
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.system.schema import parse_json, read_text


@dataclass(frozen=True)
class Piece:
    """Conformations of one source that are read together, over all atoms of their files.

    Attributes:
        frames: The frames.
        kept: [K], the frames that the generator's report does not reject.
    """

    frames: Frames
    kept: IndexArray


def open_source(source: Source) -> Iterator[Piece]:
    """Return the conformations of a source over all atoms of its files; trajectories stay on disk.

    Args:
        source: Where the conformations lie.

    Raises:
        InputError: The source has a fault, or a file is missing, damaged, or of other atoms than its topology.
    """
    if source.fault is not None:
        raise source.fault
    weights = source.tables.read()
    structures = [part.path for part in source.parts if kind(part.path) == "structure"]
    if structures:
        yield _piece(_structures(weights, structures), None)
    for part in source.parts:
        if kind(part.path) != "structure":
            frames = _frames(source, part)
            yield _piece(weights.weighted(frames, {part.path: len(frames)}), part.report)


def open_parts(source: Source) -> Iterator[Frames]:
    """Return the frames of each file of a source on its own, without weights; trajectories stay on disk.

    Args:
        source: Where the frames lie.

    Raises:
        InputError: What ``open_source`` raises.
    """
    if source.fault is not None:
        raise source.fault
    for part in source.parts:
        yield _structures(Tables().read(), [part.path]) if kind(part.path) == "structure" else _frames(source, part)


def read_source(source: Source, target: str, *, chain: str | None = None, modified_as_parent: bool = False) -> Ensemble:
    """Return the conformations of a source: the heavy atoms of one protein chain.

    Args:
        source: Where the conformations lie.
        target: The name of the target.
        chain: The identifier of the chain that is meant, where there are several.
        modified_as_parent: Take a modified residue for the amino acid that it derives from; the ensemble's ``notes``
            name it.

    Raises:
        InputError: What ``open_source`` raises; or the files of the source have different atoms
            (``ensembles.atoms-differ``), or weights only some of them (``ensembles.weights``).
    """
    atoms: Atoms | None = None
    first = ""
    blocks: list[Positions] = []
    weights: list[FloatArray | None] = []
    notes: tuple[str, ...] = ()
    random_weights = False
    for piece in open_source(source):
        random_weights |= piece.frames.random_weights
        heavy, own = heavy_atoms(named_chain(piece.frames, chain), modified_as_parent=modified_as_parent)
        if atoms is None:
            atoms, first, notes = own, piece.frames.source, modifications(heavy)
        elif own.digest() != atoms.digest():
            raise InputError(
                f"{piece.frames.source}: has other heavy atoms than {first} ({len(own)} against {len(atoms)}), but "
                f"both are read as conformations of {target}",
                code="ensembles.atoms-differ",
                target=target,
                files=[first, piece.frames.source],
            )
        blocks.append(np.asarray(heavy.positions[piece.kept], np.float32))
        weights.append(None if heavy.weights is None else np.asarray(heavy.weights, np.float64)[piece.kept])
    if atoms is None:
        raise InputError(f"{source}: no conformations", code="ensembles.none", target=target)
    return Ensemble(
        target,
        atoms,
        np.concatenate(blocks),
        random_weights=random_weights,
        weights=_weights(source, weights),
        notes=notes,
    )


def sequence_of(source: Source) -> str | None:
    """Return the one-letter sequence of a source's first file; None if it cannot be read."""
    part = source.parts[0]
    try:
        frames = (
            join_models(parse_models(part.path)[:1], str(part.path))
            if kind(part.path) == "structure"
            else _frames(source, part)
        )
        return heavy_atoms(select_chain(frames))[1].sequence
    except InputError:
        return None


def rejected(report: Path, frames: int | None = None) -> dict[int, str]:
    """Return why a generator rejects frames of its own, by their number from 0.

    Args:
        report: ``physicality.json`` of BioEmu 2, a list of ``{"frame": 0, "status": "passed", "reason": null}``.
        frames: How many frames the trajectory has; None where this is not known.

    Raises:
        InputError: The report cannot be read, or is of another number of frames (``report.broken``).
    """
    try:
        rows = parse_json(read_text(report))
        stated = [(int(row["frame"]), str(row["status"]), str(row.get("reason") or "no reason")) for row in rows]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{report}: not a report of BioEmu 2 on each frame ({error}); remove it to read all frames",
            code="report.broken",
            file=report,
        ) from error
    if frames is not None and sorted(number for number, _, _ in stated) != list(range(frames)):
        raise InputError(
            f"{report}: reports on {len(stated)} frames, the trajectory has {frames}; remove it to read all frames",
            code="report.broken",
            file=report,
        )
    return {number: reason for number, status, reason in stated if status == "rejected"}


def _piece(frames: Frames, report: Path | None) -> Piece:
    kept = np.arange(len(frames))
    if report is not None:
        kept = np.setdiff1d(kept, np.array(list(rejected(report, len(frames))), np.int64))
        if not len(kept):
            raise InputError(
                f"{report}: rejects all {len(frames)} frames; remove it to read them all the same",
                code="report.all-rejected",
                file=report,
            )
    return Piece(frames, kept)


def _structures(weights: Weights, paths: Sequence[Path]) -> Frames:
    """Return all models of several structure files, in their order."""
    parts: list[Models] = []
    counts: dict[Path, int] = {}
    for path in paths:
        models = parse_models(path)
        counts[path] = sum(len(part.positions) for part in models)
        several = len(models) > 1
        parts += [part._replace(label=f"{part.label} of {path.name}" if several else path.name) for part in models]
    more = f" and {len(paths) - 1} more" * (len(paths) > 1)
    return weights.weighted(join_models(parts, f"{paths[0]}{more}"), counts)


def _frames(source: Source, part: Part) -> Frames:
    if kind(part.path) == "trajectory":
        return read_trajectory(part.path, part.topology)
    return read_atom37(part.path) if source.layout == ATOM37 else read_npz(part.path)


def _weights(source: Source, weights: Sequence[FloatArray | None]) -> FloatArray | None:
    """Return the weights of all conformations, None if no file has any."""
    given = [one for one in weights if one is not None]
    check_all_weighted(source, len(given), len(weights))
    return np.concatenate(given) if given else None
