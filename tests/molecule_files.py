"""Files of one molecule in any format and any state: a table of atoms with frames, and what writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from proteins import build, wobble

from ebabench.structures import Ensemble


@dataclass(frozen=True)
class Table:
    """Atom records [N] of a file and the positions [F, N, 3] of its models, in angstrom."""

    name: np.ndarray
    residue_name: np.ndarray
    number: np.ndarray
    chain: np.ndarray
    element: np.ndarray
    record: np.ndarray
    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.name)

    def take(self, index: np.ndarray) -> Table:
        columns = {key: getattr(self, key)[index] for key in ("name", "residue_name", "number", "chain", "element")}
        return replace(self, **columns, record=self.record[index], positions=self.positions[:, index])

    def frame(self, frame: int) -> Table:
        return replace(self, positions=self.positions[frame : frame + 1])

    def changed(self, column: str, where: np.ndarray | bool, value: object) -> Table:
        """The table with one value in a column, at some rows."""
        old = getattr(self, column)
        kind = f"U{max(old.dtype.itemsize // 4, len(str(value)))}" if old.dtype.kind == "U" else old.dtype
        return replace(self, **{column: np.where(where, value, old.astype(kind))})

    def joined(self, other: Table) -> Table:
        keys = ("name", "residue_name", "number", "chain", "element", "record")
        columns = {key: np.concatenate([getattr(self, key), getattr(other, key)]) for key in keys}
        return Table(**columns, positions=np.concatenate([self.positions, other.positions], axis=1))

    @property
    def heavy(self) -> np.ndarray:
        return np.flatnonzero(self.element != "H")


def molecule(sequence: str = "GAIHWKSTV", frames: int = 5, hydrogens: bool = True) -> Table:
    """A chain in frames that wobble about a helix, with one hydrogen on every N and C-alpha."""
    target = build(sequence)
    atoms, positions = target.atoms, wobble(target, frames, seed=3, noise=0.03).round(3)
    rows = [
        (n, r, k + 1, "A", n[0], "ATOM", x)
        for n, r, k, x in zip(
            atoms.name.tolist(),
            atoms.residue_name.tolist(),
            atoms.residue.tolist(),
            positions.transpose(1, 0, 2),
            strict=True,
        )
    ]
    if hydrogens:
        full = []
        for row in rows:
            full.append(row)
            if row[0] in ("N", "CA"):
                name = {"N": "H", "CA": "HA"}[row[0]]
                full.append((name, *row[1:4], "H", "ATOM", row[6] + np.array([0.0, 0.6, 0.8])))
        rows = full
    *columns, places = (list(column) for column in zip(*rows, strict=True))
    return Table(*(np.array(column) for column in columns), np.stack(places, axis=1).round(3))


def water(count: int, frames: int, chain: str = "W") -> Table:
    """Waters far away from everything."""
    place = np.stack([np.arange(count) * 3.1, np.full(count, 60.0), np.full(count, 60.0)], axis=1)
    same = {"name": "O", "residue_name": "HOH", "chain": chain, "element": "O", "record": "HETATM"}
    columns = {key: np.full(count, value) for key, value in same.items()}
    return Table(**columns, number=np.arange(1, count + 1), positions=np.repeat(place[None], frames, axis=0))


def atom_line(table: Table, row: int, frame: int, serial: str | None = None) -> str:
    name, residue_name = str(table.name[row]), str(table.residue_name[row])
    x, y, z = table.positions[frame, row]
    shown = name if len(name) == 4 or len(str(table.element[row])) == 2 else f" {name}"
    return (
        f"{table.record[row]:<6}{serial or row + 1:>5} {shown:<4} {residue_name:<4}{table.chain[row]:1}"
        f"{table.number[row]:>4}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {table.element[row]:>2}\n"
    )


def pdb_text(table: Table, serial: Callable[[int], str] | None = None, head: str = "") -> str:
    """A PDB file with MODEL records."""
    models = []
    for frame in range(len(table.positions)):
        lines = (atom_line(table, row, frame, serial(row) if serial else None) for row in range(len(table)))
        models.append(f"MODEL {frame + 1:8d}\n{''.join(lines)}TER\nENDMDL\n")
    return head + "".join(models) + "END\n"


CIF_COLUMNS = {
    "group_PDB": lambda t, k, f: t.record[k],
    "id": lambda t, k, f: f * len(t) + k + 1,
    "type_symbol": lambda t, k, f: t.element[k],
    "label_atom_id": lambda t, k, f: t.name[k],
    "label_alt_id": lambda t, k, f: ".",
    "label_comp_id": lambda t, k, f: t.residue_name[k],
    "label_asym_id": lambda t, k, f: t.chain[k],
    "label_seq_id": lambda t, k, f: t.number[k] if t.record[k] == "ATOM" else ".",
    "auth_seq_id": lambda t, k, f: t.number[k],
    "auth_asym_id": lambda t, k, f: t.chain[k],
    "Cartn_x": lambda t, k, f: f"{t.positions[f, k, 0]:.3f}",
    "Cartn_y": lambda t, k, f: f"{t.positions[f, k, 1]:.3f}",
    "Cartn_z": lambda t, k, f: f"{t.positions[f, k, 2]:.3f}",
    "pdbx_PDB_model_num": lambda t, k, f: f + 1,
}


def cif_text(table: Table, block: str = "x", **columns: object) -> str:
    """An mmCIF file. ``columns`` replace columns: a value, a function of (table, row, frame), or None to leave out."""
    shown = {key: value for key, value in (CIF_COLUMNS | columns).items() if value is not None}
    lines = [f"data_{block}", "loop_", *(f"_atom_site.{key}" for key in shown)]
    for frame in range(len(table.positions)):
        for row in range(len(table)):
            values = (value(table, row, frame) if callable(value) else value for value in shown.values())
            lines.append(" ".join(str(value) for value in values))
    return "\n".join(lines) + "\n#\n"


def gro_text(table: Table, frame: int = 0) -> str:
    lines = ["made", str(len(table))]
    for row in range(len(table)):
        place = "".join(f"{x:8.3f}" for x in table.positions[frame, row] / 10)
        lines.append(f"{table.number[row]:5d}{table.residue_name[row]:<5}{table.name[row]:>5}{row + 1:5d}{place}")
    return "\n".join([*lines, "   5.0 5.0 5.0"]) + "\n"


def topology_file(table: Table, path: Path, frame: int = 0) -> Path:
    path.write_text("".join(atom_line(table, row, frame) for row in range(len(table))) + "END\n")
    return path


def same_as(ensemble: Ensemble, table: Table, atol: float = 0.0015) -> None:
    """Assert that an ensemble holds the table's heavy atoms of amino acids, under their names, in all frames."""
    heavy = table.take(table.heavy)
    heavy = heavy.take(np.flatnonzero(heavy.record == "ATOM"))
    keys = list(zip(ensemble.atoms.residue.tolist(), ensemble.atoms.name.tolist(), strict=True))
    first = {number: k for k, number in enumerate(dict.fromkeys(heavy.number.tolist()))}
    expected = [(first[n], a) for n, a in zip(heavy.number.tolist(), heavy.name.tolist(), strict=True)]
    assert sorted(keys) == sorted(expected)
    column = {key: k for k, key in enumerate(expected)}
    order = [column[key] for key in keys]
    np.testing.assert_allclose(ensemble.positions, heavy.positions[:, order], atol=atol)
