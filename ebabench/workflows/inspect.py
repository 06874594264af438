"""What would be read of an output folder, without scoring anything."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ebabench.datasets.reference_layouts import find_references
from ebabench.datasets.suites import Suite, load_suite
from ebabench.errors import InputError
from ebabench.io.chains import named_chain, protein_chains
from ebabench.io.layouts import LeftOut, Source, find_sources, read_source
from ebabench.io.layouts.reading import open_source
from ebabench.io.layouts.telling import rejections
from ebabench.structures import Ensemble
from ebabench.structures.matching import align
from ebabench.structures.validation import validate
from ebabench.workflows.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

_LEAST = 2  # conformations; an ensemble of one has no spread


@dataclass(frozen=True)
class Inspected:
    """What would be read of one target.

    Attributes:
        target: Name of the target: of the suite, or what the files call it. Empty for files that fit no target.
        layout: The layout that was recognised.
        files: The files that are read, in order: conformations, topologies, reports.
        conformations: How many there are.
        rejected: How many frames the generator's own report rejects, by reason. They are not read.
        weights: Whether the conformations have statistical weights that differ.
        effective_samples: Kish's effective number of samples.
        residues: Residues of the chain that is read.
        atoms: Its heavy atoms.
        backbone_only: Whether there are no side chains beyond CB.
        hydrogens: Hydrogens of the chain in the files; they are not read.
        chains: Protein chains in the files, with their residues.
        sequence: One-letter sequence; X for a residue that is not one of the twenty.
        fits: The targets whose sequence this is, or a part of it.
        left_out: Files that are not read, with the reason.
        notes: What else is not read of the files, or is changed.
        refused: Why it could not be scored, with the remedy; empty if it could.
    """

    target: str
    layout: str
    files: tuple[str, ...]
    conformations: int | None = None
    rejected: Mapping[str, int] | None = None
    weights: bool = False
    effective_samples: float | None = None
    residues: int | None = None
    atoms: int | None = None
    backbone_only: bool | None = None
    hydrogens: int | None = None
    chains: str = ""
    sequence: str = ""
    fits: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Inspection:
    """What would be read below a path.

    Attributes:
        path: The path.
        targets: What would be read of each target; files that fit no target come last.
        left_out: Files that belong to no target, with the reason.
        missing: Targets that were asked for and have no files.
    """

    path: str
    targets: tuple[Inspected, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, as ``ebabench inspect --json`` prints it."""
        return asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per target."""
        import pandas as pd

        return pd.DataFrame([asdict(one) for one in self.targets]).set_index("target")


def inspect(
    path: str | os.PathLike[str],
    suite: str | Suite | None = None,
    *,
    reference: str | os.PathLike[str] | None = None,
    chain: str | None = None,
    modified_as_parent: bool = False,
    temperature: int | None = None,
    progress: Progress = silent,
) -> Inspection:
    """Return what would be read of a generator's output, from which files, and what would be refused.

    Args:
        path: A folder, at any level of a generator's layout, or one file.
        suite: The suite whose targets these are; or
        reference: references in any layout. Without either, files and folders name the targets.
        chain: The identifier of the protein chain that is meant, in files that have several.
        modified_as_parent: Take a modified residue for the amino acid that it derives from.
        temperature: In kelvin, of mdCATH's references.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: There is no such path, or nothing in it is read.

    Example:
        >>> import ebabench, tempfile
        >>> run = ebabench.sample("static", "peptides-v1", targets=["KLED"], samples=2, out=tempfile.mkdtemp())
        >>> found = ebabench.inspect(run.folder / "ensembles", "peptides-v1")
        >>> [(one.target, one.conformations) for one in found.targets]
        [('KLED', 2)]
    """
    targets = _sequences(suite, reference, temperature)
    found = find_sources(Path(path), targets)
    named = [*found.sources.items(), *(("", source) for source in found.strangers)]
    inspected = []
    progress("inspecting", 0, len(named))
    for name, source in named:
        inspected.append(_inspected(name, source, targets or {}, chain, modified_as_parent))
        progress("inspecting", len(inspected), len(named))
    missing = tuple(name for name in targets or () if name not in found.sources)
    return Inspection(str(path), tuple(inspected), _plain(found.left_out), missing)


def _sequences(
    suite: str | Suite | None, reference: str | os.PathLike[str] | None, temperature: int | None
) -> dict[str, str] | None:
    if suite is not None and reference is not None:
        raise InputError("give either --suite or --reference", code="inspect.reference")
    if suite is not None:
        chosen = load_suite(suite) if isinstance(suite, str) else suite
        return {target.name: target.sequence for target in chosen.targets}
    if reference is None:
        return None
    references = find_references(Path(reference), temperature=temperature)
    return {name: references.target(name).sequence for name in references.names}


def _inspected(
    name: str, source: Source, targets: Mapping[str, str], chain: str | None, modified_as_parent: bool
) -> Inspected:
    about: dict[str, Any] = {
        "target": name,
        "layout": source.layout,
        "files": tuple(map(str, source.files)),
        "left_out": _plain(source.left_out),
    }
    try:
        about |= _contents(source, chain)
        ensemble = read_source(source, name or source.names[0], chain=chain, modified_as_parent=modified_as_parent)
        about |= _ensemble(ensemble)
        about["notes"] += ensemble.notes
        about["fits"] = _fitting(about["sequence"], targets)
        about["refused"] = _refusal(name, ensemble, targets)
    except InputError as error:
        about["refused"] = str(error)
    return Inspected(**about)


def _contents(source: Source, chain: str | None) -> dict[str, Any]:
    """Return what the files of a source hold; trajectories are not read but for one frame."""
    notes: dict[str, None] = {}
    chains, hydrogens = "", 0
    for piece in open_source(source):
        first = piece.frames.first()
        chains = chains or ", ".join(map(str, protein_chains(piece.frames.atoms, first)))
        selected = named_chain(piece.frames, chain)
        hydrogens = hydrogens or int(selected.atoms.hydrogen.sum())
        notes |= dict.fromkeys(selected.notes)
    return {
        "chains": chains,
        "hydrogens": hydrogens,
        "notes": tuple(notes),
        "rejected": dict(rejections(source)),
    }


def _ensemble(ensemble: Ensemble) -> dict[str, Any]:
    atoms = ensemble.atoms
    return {
        "conformations": len(ensemble),
        "weights": ensemble.weights is not None,
        "effective_samples": round(ensemble.effective_samples, 1),
        "residues": len(atoms.sequence),
        "atoms": len(atoms),
        "backbone_only": set(atoms.name.tolist()) <= {"N", "CA", "C", "O", "OXT", "CB"},
        "sequence": atoms.sequence,
    }


def _fitting(sequence: str, targets: Mapping[str, str]) -> tuple[str, ...]:
    """Return the targets that a sequence fits."""
    found = []
    for name, own in targets.items():
        try:
            align(sequence, own)
        except InputError:
            continue
        found.append(name)
    return tuple(found)


def _refusal(name: str, ensemble: Ensemble, targets: Mapping[str, str]) -> str:
    """Return why an ensemble could not be scored; the empty string if it could."""
    if not name:
        return "it fits no target, by name or by sequence"
    if len(ensemble) < _LEAST:
        return f"{len(ensemble)} conformation; an ensemble has two or more"
    places = np.arange(len(ensemble.atoms.sequence))
    if name in targets:
        places = align(ensemble.atoms.sequence, targets[name])
    validate(name, ensemble.atoms, places, ensemble.positions)
    return ""


def _plain(left_out: Iterable[LeftOut]) -> tuple[tuple[str, str], ...]:
    return tuple((str(one.path), one.reason) for one in left_out)
