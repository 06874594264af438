"""Any structure file: many models in one file (AlphaFlow, ESMFlow), or one conformation per file (ConfDiff)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from ebabench.errors import InputError
from ebabench.io.content import suffix_of
from ebabench.io.layouts.listing import Listing, kind, stem
from ebabench.io.layouts.source import LeftOut, Part, Source
from ebabench.io.structures import parse_models
from ebabench.system.files import open_regular

MODELS = "one file with all conformations"
SINGLE = "one file per conformation"
_BARE = (
    "a topology without a trajectory beside it; conformations are read from a trajectory, or as PDB or mmCIF with a "
    "model each"
)


def recognise(listing: Listing) -> list[Source]:
    """Return one source per structure file; those of one target are settled later."""
    return [
        Source(SINGLE if single(path) else MODELS, (stem(path), *listing.folders(path)), (Part(path),), plain=True)
        for path in listing.of_kind("structure")
        if not path.name.lower().endswith((".top.pdb", ".top.cif"))
    ]


def bare_topologies(listing: Listing) -> list[LeftOut]:
    """Return the topologies that no trajectory claims."""
    return [
        LeftOut(path, _BARE)
        for path in listing.files
        if kind(path) == "topology" or path.name.lower().endswith((".top.pdb", ".top.cif"))
    ]


def single(path: Path) -> bool:
    """Return whether a structure file has one model only. A file that cannot be read has not: its reader says why."""
    try:
        return not _several_models(path)
    except (InputError, OSError, EOFError, zlib.error, RuntimeError, ValueError):
        return False


def _several_models(path: Path) -> bool:
    if suffix_of(path) == ".bcif":
        return sum(len(part.positions) for part in parse_models(path)) > 1
    with open_regular(path) as plain, gzip.open(plain) if path.suffix.lower() == ".gz" else plain as file:
        if suffix_of(path) in (".cif", ".mmcif"):
            return _several_in_cif(file.read().decode())
        models, open_model, atoms = 0, False, False
        for line in file:
            if line.startswith((b"ATOM", b"HETATM")):
                if not open_model:
                    models, open_model = models + 1, True
                    if models > 1:
                        return True
                atoms = True
            elif atoms and line.startswith((b"MODEL", b"ENDMDL", b"END")):
                open_model = False
        return False


def _several_in_cif(text: str) -> bool:
    import gemmi

    document = gemmi.cif.read_string(text)
    models = [set(block.find_values("_atom_site.pdbx_PDB_model_num")) for block in document]
    with_atoms = [block for block in document if block.find_values("_atom_site.id")]
    return len(with_atoms) > 1 or any(len(numbers) > 1 for numbers in models)
