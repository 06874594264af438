"""Draw the targets of a run beside MD, and write conformations for structure viewers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ebabench.errors import RunError
from ebabench.io.structure_files import write_pdb
from ebabench.results.runs import Run
from ebabench.scoring.pair import Pair, make_pair
from ebabench.scoring.records import Record
from ebabench.structures import Ensemble, Reference
from ebabench.structures.arrays import FloatArray, Positions
from ebabench.structures.geometry import torsions
from ebabench.system.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MODEL, _MD = "#d95f02", "#6b737c"
_VIEWED = 20  # conformations
_MARKED = 40  # residues: markers of more than that would hide the lines


def plot_run(
    run: Run, records: list[Record], reference: Callable[[str], Reference], ensemble: Callable[[str], Ensemble]
) -> Iterator[Path]:
    """Draw targets of a run, and yield the path of each picture.

    ``plots/TARGET.png`` in the run folder has four panels: the RMSF of each C-alpha; the model's conformations over the
    density of MD in the plane of MD's first two principal components (C-alphas, angstrom of RMSD, the plane of
    ``md_pca_w2``); phi and psi of all residues over those of MD; and the potential energy, if the run has an energy
    protocol and the model all heavy atoms. ``plots/TARGET.model.pdb`` and ``TARGET.md.pdb`` hold at most 20
    conformations each, superposed onto the native structure.

    Args:
        run: The run.
        records: The records of the targets to draw.
        reference: Reads the reference of a target.
        ensemble: Reads the ensemble of a target.

    Raises:
        InputError: An ensemble or a reference cannot be read, or they do not fit.
        RunError: A file cannot be written (``plot.write``).
    """
    folder = run.folder / "plots"
    for record in records:
        pair = make_pair(
            ensemble(record.target),
            reference(record.target),
            protocol=run.identity.protocol,
            energy_protocol=run.identity.energy,
        )
        path = folder / f"{record.target}.png"
        try:
            folder.mkdir(exist_ok=True)
            replace_file(path, _picture(record, pair, run.identity.model))
            for kind, positions in (("model", pair.model), ("md", pair.md(pair.md_draw))):
                viewed = Ensemble(record.target, pair.atoms, _evenly(positions))
                write_pdb(viewed, folder / f"{record.target}.{kind}.pdb")
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}", code="plot.write", file=path) from error
        yield path


def _evenly(positions: Positions) -> Positions:
    chosen = np.unique(np.linspace(0, len(positions) - 1, _VIEWED).round().astype(int))
    return np.asarray(positions[chosen])


def _picture(record: Record, pair: Pair, model: str) -> bytes:
    """Return the picture as PNG."""
    from io import BytesIO

    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    panels: Any = figure.subplots(2, 2)
    for axes, draw in zip(panels.flat, (_fluctuation, _plane, _ramachandran, _energy), strict=True):
        draw(axes, pair, model)
    figure.suptitle(
        f"{model}: {record.target}, {record.n_samples} samples against {record.n_reference_frames} frames of MD "
        f"({record.tier})"
    )
    file = BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


def _fluctuation(axes: Axes, pair: Pair, model: str) -> None:
    from matplotlib.ticker import MaxNLocator

    residues = pair.residue_index[pair.atoms.residue[pair.ca]] + 1
    own = pair.model[:, pair.ca]
    style = "o-" if len(residues) <= _MARKED else "-"
    axes.plot(residues, pair.md_rmsf[pair.ca], style, color=_MD, label="MD")
    axes.plot(residues, np.sqrt(own.var(0).sum(1)), style, color=_MODEL, label=model)
    axes.set(xlabel="residue", ylabel="RMSF of the C-alpha (Å)", ylim=(0, None), title="Fluctuation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def _plane(axes: Axes, pair: Pair, model: str) -> None:
    mean, components = pair.md_components
    scale = np.sqrt(len(pair.ca))

    def seen(positions: Positions) -> FloatArray:
        projected: FloatArray = (positions.reshape(len(positions), -1) - mean) @ components[:2].T / scale
        return projected

    md, own, native = seen(pair.md_ca), seen(pair.model_ca), seen(pair.native_ca[None])[0]
    axes.hexbin(md[:, 0], md[:, 1], gridsize=40, cmap="Greys", bins="log", linewidths=0.1)
    axes.scatter([], [], s=50, marker="h", color=_MD, label="MD")
    axes.scatter(own[:, 0], own[:, 1], s=_dot(len(own)), color=_MODEL, alpha=0.7, linewidths=0, label=model)
    axes.plot(*native, "x", color="black", markersize=9, label="native")
    share = md.var(0).sum() / (pair.md_ca.var(0).sum() / len(pair.ca))
    axes.set(
        xlabel="component 1 (Å)",
        ylabel="component 2 (Å)",
        title=f"Principal components of MD ({share:.0%} of its variance)",
    )
    axes.set_aspect("equal", "datalim")
    axes.legend(frameon=False)


def _ramachandran(axes: Axes, pair: Pair, model: str) -> None:
    axes.set(xlabel="φ (°)", ylabel="ψ (°)", title="Ramachandran, residues with both neighbours")
    if lack := pair.unavailable_reason("backbone"):
        _without(axes, lack.reason)
        return
    residues, own = torsions(pair.atoms, pair.residue_index, pair.model)
    if not len(residues):
        _without(axes, "no residue has both neighbours")
        return
    md = torsions(pair.atoms, pair.residue_index, pair.md(pair.md_draw_1000))[1]
    whole, ticks = (-180, 180, -180, 180), np.arange(-180, 181, 60)
    axes.hexbin(*_degrees(md), gridsize=50, extent=whole, cmap="Greys", bins="log", linewidths=0.1)
    phi, psi = _degrees(own)
    axes.scatter(phi, psi, s=_dot(len(phi)), color=_MODEL, alpha=0.6, linewidths=0)
    for marker, size, colour, name in (("h", 50, _MD, "MD"), ("o", 16, _MODEL, model)):
        axes.scatter([], [], s=size, marker=marker, color=colour, label=name)
    axes.set(xlim=whole[:2], ylim=whole[2:], xticks=ticks, yticks=ticks)
    axes.set_aspect("equal")
    axes.legend(edgecolor="none", loc="lower left")


def _dot(count: int) -> float:
    """Return the area of each of ``count`` dots, in square points."""
    return float(np.clip(4000 / count, 2, 30))


def _degrees(angles: FloatArray) -> tuple[FloatArray, FloatArray]:
    phi, psi = np.degrees(angles).reshape(-1, 2).T
    return phi, psi


def _energy(axes: Axes, pair: Pair, model: str) -> None:
    from ebabench.physics.energy import potential_energies
    from ebabench.structures.nomenclature import canonical

    axes.set(xlabel="kJ/mol", yticks=[], title=f"Potential energy ({pair.energy_protocol or 'none'})")
    if lack := pair.unavailable_reason("energy"):
        _without(axes, lack.reason)
        return
    assert pair.energy_protocol is not None
    md = potential_energies(
        canonical(pair.reference.target.atoms), pair.md_as_read(np.unique(pair.md_draw)), pair.energy_protocol
    )
    own = potential_energies(pair.atoms, pair.model_as_read, pair.energy_protocol)
    md, own = md[np.isfinite(md)], own[np.isfinite(own)]
    if not len(md) or not len(own):
        _without(axes, "no conformation could be prepared")
        return
    # A clash may be 10^6 above the rest: the axis ends where most of both lies, and the legend counts what is beyond.
    end = max(np.quantile(side, 0.9) + 1.5 * np.ptp(np.quantile(side, (0.1, 0.9))) for side in (md, own))
    end = min(end, md.max() + 4 * np.ptp(md))
    edges = np.linspace(min(md.min(), own.min()), end, 41)
    for energies, colour, name in ((md, _MD, "MD"), (own, _MODEL, model)):
        beyond = np.mean(energies > end)
        label = f"{name} ({beyond:.0%} beyond)" if beyond else name
        weights = np.full(len(energies), 1 / len(energies))
        axes.hist(
            energies, edges.tolist(), weights=weights, histtype="stepfilled", alpha=0.55, color=colour, label=label
        )
    axes.legend(frameon=False)


def _without(axes: Axes, reason: str) -> None:
    axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
    axes.text(0.5, 0.5, f"not available: {reason}", ha="center", va="center", wrap=True, transform=axes.transAxes)
