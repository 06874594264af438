"""Reading and writing ensembles: multi-model PDB, mmCIF folders, XTC beside a topology, npz.

What is read is heavy atoms of amino acids under PDB version 3 names, in angstrom. Chain identifiers and residue numbers
of a file only tell one residue from the next. Waters, ions, ligands and caps (no C-alpha) are left out.
Every reader raises InputError that names the file and what is wrong with it.
"""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.io.multimodel_pdb import same_but_for_coordinates
from ebabench.io.xtc import XtcFrames
from ebabench.structures import Atoms, Ensemble
from ebabench.structures.arrays import Positions
from ebabench.structures.nomenclature import canonical, is_hydrogen

_STRUCTURE = re.compile(r"\.(pdb|ent|cif|mmcif)(\.gz)?$")
_ENSEMBLE = re.compile(r"(\.(pdb|ent|cif|mmcif)(\.gz)?|\.xtc|\.npz)$")
_TOPOLOGY = ".top.pdb"
_CALCIUM = 20


def read_structure(path: Path | str) -> tuple[Atoms, Positions]:
    """The first model of a PDB or mmCIF file, plain or gzipped.

    Returns:
        The heavy atoms, and their positions [N, 3] in angstrom.
    """
    atoms, positions = _read_models(Path(path))
    return atoms, positions[0]


def read_ensemble(path: Path | str, target: str) -> Ensemble:
    """All conformations of one target.

    Args:
        path: ``X.pdb[.gz]`` or ``X.cif[.gz]`` with several models; ``X.xtc`` beside ``X.top.pdb``; ``X.npz`` as
            ``write_ensemble`` leaves it; or a folder with mmCIF or PDB files at any depth, in the order of their names.
        target: the target's name.
    """
    path = Path(path)
    if path.is_dir():
        return Ensemble(target, *_read_folder(path))
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".npz":
        return _read_npz(path, target)
    if path.suffix == ".xtc":
        return Ensemble(target, *_read_trajectory(path))
    return Ensemble(target, *_read_models(path))


def find_ensembles(folder: Path | str) -> dict[str, Path]:
    """The ensembles in a folder, one file or sub-folder a target: its name is the file's, less the suffix."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith(_TOPOLOGY):
            continue
        if path.is_dir():
            if next(_structure_files(path), None) is None:
                continue
            name = path.name
        elif match := _ENSEMBLE.search(path.name):
            name = path.name[: match.start()]
        else:
            continue
        if name in found:
            raise InputError(f"{folder}: two ensembles of {name}: {found[name].name} and {path.name}")
        found[name] = path
    if not found:
        raise InputError(
            f"{folder}: no ensembles in it (NAME.pdb[.gz], NAME.xtc with NAME.top.pdb, NAME.npz, NAME/*.cif)"
        )
    return found


def read_topology(path: Path | str) -> tuple[Atoms, npt.NDArray[np.int64], int, Positions]:
    """What the frames of a trajectory are made of.

    Returns:
        The heavy atoms, their indices among all atoms of the file, the number of all atoms, and the positions [N, 3] of
        the heavy ones in the file's first model, in angstrom.
    """
    path = Path(path)
    flat, sizes = _flat(_parsed(_content(path), path), path)
    atoms, heavy = _topology(flat, sizes[0], path)
    return atoms, heavy, sizes[0], flat.pos[heavy].astype(np.float32)


def write_ensemble(ensemble: Ensemble, path: Path | str) -> None:
    """Writes an npz that ``read_ensemble`` gives back unchanged; the same ensemble gives the same bytes."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        np.savez(
            file,
            positions=ensemble.positions.astype(np.float32),
            name=ensemble.atoms.name,
            residue_name=ensemble.atoms.residue_name,
            residue=ensemble.atoms.residue,
            held_out=np.array(ensemble.held_out, np.int64),
            random_weights=np.array(ensemble.random_weights),
        )
    temporary.replace(path)


def write_pdb(ensemble: Ensemble, path: Path | str) -> None:
    """Writes a PDB file with one model a conformation, residues numbered from 1, chain A."""
    atoms = ensemble.atoms
    if not (np.abs(ensemble.positions) < 999.9995).all():
        raise InputError(f"{ensemble.target}: positions do not fit into a PDB file")
    heads = [
        f"ATOM  {serial % 100000:5d} {name if len(name) == 4 else ' ' + name:<4} {residue_name:<3} A{number % 10000:4d}"
        for serial, (name, residue_name, number) in enumerate(
            zip(atoms.name.tolist(), atoms.residue_name.tolist(), (atoms.residue + 1).tolist(), strict=True), 1
        )
    ]
    tails = [f"  1.00  0.00          {name[0]:>2}\n" for name in atoms.name.tolist()]
    with Path(path).open("w") as file:
        for number, frame in enumerate(ensemble.positions.tolist(), 1):
            file.write(f"MODEL {number:8d}\n")
            file.writelines(
                f"{head}    {x:8.3f}{y:8.3f}{z:8.3f}{tail}"
                for head, (x, y, z), tail in zip(heads, frame, tails, strict=True)
            )
            file.write("TER\nENDMDL\n")
        file.write("END\n")


def _structure_files(folder: Path) -> Iterator[Path]:
    def natural(path: Path) -> list[tuple[int, str]]:
        return [(int(part or 0), text) for text, part in re.findall(r"(\D*)(\d*)", str(path.relative_to(folder)))]

    files = [path for path in folder.rglob("*") if _STRUCTURE.search(path.name) and not path.name.startswith(".")]
    yield from sorted(files, key=natural)


def _read_folder(folder: Path) -> tuple[Atoms, Positions]:
    first: Path | None = None
    blocks: list[Positions] = []
    for path in _structure_files(folder):
        atoms, positions = _read_models(path)
        if first is None:
            first, kept = path, atoms
        elif atoms.digest() != kept.digest():
            raise InputError(f"{path}: other atoms than {first.name} ({len(atoms)} against {len(kept)})")
        blocks.append(positions)
    if first is None:
        raise InputError(f"{folder}: no PDB or mmCIF files in it")
    return kept, np.concatenate(blocks)


def _read_trajectory(path: Path) -> tuple[Atoms, Positions]:
    topology = path.with_name(path.name.removesuffix(".xtc") + _TOPOLOGY)
    if not topology.exists():
        raise InputError(f"{path}: needs its topology beside it, {topology.name}")
    atoms, heavy, n_atoms, _ = read_topology(topology)
    return atoms, XtcFrames(path, n_atoms, heavy)[:]


def _read_npz(path: Path, target: str) -> Ensemble:
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = dict(data)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as npz ({error})") from error
    if missing := {"positions", "name", "residue_name", "residue"} - arrays.keys():
        raise InputError(f"{path}: lacks {', '.join(sorted(missing))}")
    positions, residue = arrays["positions"], arrays["residue"]
    n_atoms = len(residue)
    if positions.ndim != 3 or positions.shape[1:] != (n_atoms, 3) or len(arrays["name"]) != n_atoms or not n_atoms:
        raise InputError(f"{path}: positions have shape {positions.shape}, the table of atoms {n_atoms} rows")
    if not len(positions):
        raise InputError(f"{path}: no conformations")
    atoms, heavy = _heavy(arrays["name"], arrays["residue_name"], residue, path)
    held_out = tuple(int(number) for number in arrays.get("held_out", ()))
    return Ensemble(
        target, atoms, positions[:, heavy].astype(np.float32), held_out, bool(arrays.get("random_weights", False))
    )


def _content(path: Path) -> bytes:
    """The file, unpacked."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, EOFError, zlib.error) as error:
        raise _broken(path, error) from error


def _parsed(data: bytes, path: Path) -> Any:
    """The file's content as a gemmi structure."""
    import gemmi

    try:
        if _is_cif(path):
            return gemmi.make_structure_from_block(gemmi.cif.read_string(data.decode()).sole_block())
        if b"***" in data:
            # Fortran's mark of a number that does not fit; gemmi would read 0.
            raise InputError(f"{path}: a coordinate overflows its columns (***)")
        end = re.search(rb"\nEND(?!MDL)", data)
        if end and end.start() < data.rfind(b"\nATOM"):
            data = _separated_by_models(data)
        return gemmi.read_pdb_string(data)
    except (RuntimeError, ValueError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: broken, truncated or of another format ({error})")


def _is_cif(path: Path) -> bool:
    return ".cif" in path.name or ".mmcif" in path.name


def _separated_by_models(data: bytes) -> bytes:
    """The PDB file without END between its frames, where gemmi would stop reading: ENDMDL separates them."""
    data = re.sub(rb"(?m)^MODEL.*\n", b"", data)
    return re.sub(rb"(?m)^END(?!MDL).*\n", b"" if b"\nENDMDL" in data else b"ENDMDL\n", data)


def _read_models(path: Path) -> tuple[Atoms, Positions]:
    """Heavy atoms and positions [models, N, 3] of a PDB or mmCIF file."""
    data = _content(path)
    if not _is_cif(path) and (plain := same_but_for_coordinates(data)):
        flat, sizes = _flat(_parsed(plain[0], path), path)
        positions = plain[1].astype(np.float32)
        # Only if the parser of the format sees the first model's atoms just so: it might sort them, or leave some out.
        if np.array_equal(flat.pos.astype(np.float32), positions[0]):
            atoms, heavy = _topology(flat, sizes[0], path)
            return atoms, positions[:, heavy]
    flat, sizes = _flat(_parsed(data, path), path)
    size = sizes[0]
    names = flat.atom_names.view("S8").reshape(-1)
    residue_names = flat.residue_names.view("S8").reshape(-1)
    for model in range(1, len(sizes)):
        rows = slice(model * size, (model + 1) * size)
        if sizes[model] != size:
            raise InputError(
                f"{path}: model {model + 1} of {len(sizes)} has {sizes[model]} atoms, the first has {size}"
            )
        if (names[rows] != names[:size]).any() or (residue_names[rows] != residue_names[:size]).any():
            raise InputError(
                f"{path}: model {model + 1} of {len(sizes)} has other atoms than the first, or another order"
            )
    atoms, heavy = _topology(flat, size, path)
    return atoms, flat.pos.reshape(-1, size, 3)[:, heavy].astype(np.float32)


def _flat(structure: Any, path: Path) -> tuple[Any, list[int]]:
    """The structure as gemmi's table of atoms, and the number of atoms of every model."""
    import gemmi

    flat = gemmi.FlatStructure(structure)
    if not len(flat.pos):
        raise InputError(f"{path}: no atoms in it")
    starts = np.flatnonzero(np.diff(flat.model_num)) + 1
    return flat, np.diff(starts, prepend=0, append=len(flat.pos)).tolist()


def _topology(flat: Any, size: int, path: Path) -> tuple[Atoms, npt.NDArray[np.int64]]:
    """Heavy atoms of the first model's ``size`` atoms, and their indices."""
    residue_name = flat.residue_names.view("S8").reshape(-1)[:size]
    change = np.zeros(size, bool)
    for key in (flat.chain_ids.view("S8").reshape(-1), flat.resnums, flat.icodes, residue_name):
        change[1:] |= key[1:size] != key[: size - 1]
    residue = np.cumsum(change)
    kept = np.ones(size, bool)
    # Of alternate locations the first in each residue counts.
    first: dict[int, int] = {}
    for atom in np.flatnonzero(flat.altlocs[:size] > 32):
        kept[atom] = flat.altlocs[atom] == first.setdefault(int(residue[atom]), int(flat.altlocs[atom]))
    # A calcium ion is named CA, too.
    kept &= flat.elements[:size] != _CALCIUM
    index = np.flatnonzero(kept)
    name = flat.atom_names.view("S8").reshape(-1)[index].astype(np.str_)
    atoms, heavy = _heavy(name, residue_name[index].astype(np.str_), residue[index], path)
    return atoms, index[heavy]


def _heavy(
    name: npt.NDArray[np.str_], residue_name: npt.NDArray[np.str_], residue: npt.NDArray[np.int64], path: Path
) -> tuple[Atoms, npt.NDArray[np.int64]]:
    """The heavy atoms, under their usual names, of the residues that have a C-alpha; and their indices."""
    runs = np.cumsum(np.diff(residue, prepend=residue[0]) != 0)
    has_ca = np.bincount(runs, weights=name == "CA") > 0
    heavy = np.flatnonzero(has_ca[runs] & ~is_hydrogen(name))
    if not len(heavy):
        raise InputError(f"{path}: no residue has a C-alpha")
    counted = np.cumsum(np.diff(runs[heavy], prepend=runs[heavy[0]]) != 0)
    atoms = canonical(Atoms(name[heavy], residue_name[heavy], counted))
    keys = np.char.add(np.char.add(atoms.residue.astype(np.str_), " "), atoms.name)
    unique, count = np.unique(keys, return_counts=True)
    if (count > 1).any():
        number, twice = str(unique[count > 1][0]).split()
        raise InputError(f"{path}: residue {int(number) + 1} of the chain has atom {twice} more than once")
    return atoms, heavy
