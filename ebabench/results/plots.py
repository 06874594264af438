"""Draw the targets of a run beside MD, and write conformations for structure viewers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ebabench.errors import RunError
from ebabench.io.structure_files import write_pdb
from ebabench.results import panels
from ebabench.results.runs import Run
from ebabench.scoring.pair import Pair, make_pair
from ebabench.scoring.records import Record
from ebabench.structures import Ensemble, Reference
from ebabench.structures.arrays import Positions, evenly_spaced
from ebabench.system.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MODEL, _MD = "#d95f02", "#6b737c"
_VIEWED = 20  # conformations
_MARKED = 40  # residues: markers of more than that would hide the lines


def plot_run(
    run: Run, records: list[Record], reference: Callable[[str], Reference], ensemble: Callable[[str], Ensemble]
) -> Iterator[Path]:
    """Draw targets of a run, and yield the path of each PNG; an SVG of the same lies beside it.

    ``plots/TARGET.png`` and ``plots/TARGET.svg`` in the run folder have the panels of a target page of the site: the
    RMSF of each C-alpha with the range of MD's replicas; the model's conformations over the density of MD in the plane
    of MD's first two principal components (C-alphas, angstrom of RMSD, the plane of ``md_pca_w2``); phi and psi of all
    residues over those of MD; contacts less those of MD; and the potential energy, if the run has an energy protocol
    and the model all heavy atoms. ``plots/TARGET.model.pdb`` and ``TARGET.md.pdb`` hold at most 20 conformations each,
    superposed onto the native structure.

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
            for ending, data in _pictures(record, pair, run.identity.model).items():
                replace_file(path.with_suffix(f".{ending}"), data)
            for kind, positions in (("model", pair.model), ("md", pair.md(pair.md_draw))):
                viewed = Ensemble(record.target, pair.atoms, _evenly(positions))
                write_pdb(viewed, folder / f"{record.target}.{kind}.pdb")
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}", code="plot.write", file=path) from error
        yield path


def _evenly(positions: Positions) -> Positions:
    return np.asarray(positions[evenly_spaced(len(positions), _VIEWED)])


def _pictures(record: Record, pair: Pair, model: str) -> dict[str, bytes]:
    """Return the picture as PNG and as SVG, by the ending of the file."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 9), layout="constrained")
    places: Any = figure.subplots(2, 3)
    drawn = (_fluctuation, _plane, _ramachandran, _contacts, _energy)
    for axes, draw in zip(places.flat, drawn, strict=False):
        draw(axes, pair, model)
    places.flat[-1].set_axis_off()
    figure.suptitle(
        f"{model}: {record.target}, {record.n_samples} samples against {record.n_reference_frames} frames of MD "
        f"({record.tier})"
    )
    found = {}
    # The same target gives the same bytes: no date, and no random names in the SVG.
    with matplotlib.rc_context({"svg.hashsalt": record.target}):
        for kind in ("png", "svg"):
            file = BytesIO()
            figure.savefig(file, format=kind, dpi=120, metadata={"Date": None} if kind == "svg" else None)
            found[kind] = file.getvalue()
    return found


def _fluctuation(axes: Axes, pair: Pair, model: str) -> None:
    from matplotlib.ticker import MaxNLocator

    found = panels.fluctuation(pair)
    style = "o-" if len(found.residues) <= _MARKED else "-"
    spread = (found.replicas.min(0), found.replicas.max(0))
    axes.fill_between(found.residues, *spread, color=_MD, alpha=0.25, linewidth=0, label="each replica of MD by itself")
    axes.plot(found.residues, found.md, style, color=_MD, label="MD")
    axes.plot(found.residues, found.model, style.replace("-", "--"), color=_MODEL, label=model)
    axes.set(xlabel="residue", ylabel="RMSF of the C-alpha (Å)", ylim=(0, None), title="Fluctuation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def _plane(axes: Axes, pair: Pair, model: str) -> None:
    axes.set(xlabel="component 1 (Å)", ylabel="component 2 (Å)", title="Principal components of MD")
    found = panels.plane(pair)
    if isinstance(found, str):
        _without(axes, found)
        return
    (x, y), (own_x, own_y) = found.md.T, found.model.T
    axes.hexbin(x, y, gridsize=40, cmap="Greys", bins="log", linewidths=0.1)
    axes.scatter([], [], s=50, marker="h", color=_MD, label="MD")
    axes.scatter(own_x, own_y, s=_dot(len(own_x)), color=_MODEL, alpha=0.7, linewidths=0, label=model)
    axes.set(title=f"Principal components of MD ({found.share:.0%} of its variance)")
    axes.set_aspect("equal", "datalim")
    axes.legend(frameon=False)


def _ramachandran(axes: Axes, pair: Pair, model: str) -> None:
    axes.set(xlabel="φ (°)", ylabel="ψ (°)", title="Ramachandran, residues with both neighbours")
    found = panels.ramachandran(pair)
    if isinstance(found, str):
        _without(axes, found)
        return
    whole, ticks = (-180, 180, -180, 180), np.arange(-180, 181, 60)
    (x, y), (phi, psi) = found.md.T, found.model.T
    axes.hexbin(x, y, gridsize=50, extent=whole, cmap="Greys", bins="log", linewidths=0.1)
    axes.scatter(phi, psi, s=_dot(len(phi)), color=_MODEL, alpha=0.6, linewidths=0)
    for marker, size, colour, name in (("h", 50, _MD, "MD"), ("o", 16, _MODEL, model)):
        axes.scatter([], [], s=size, marker=marker, color=colour, label=name)
    axes.set(xlim=whole[:2], ylim=whole[2:], xticks=ticks, yticks=ticks)
    axes.set_aspect("equal")
    axes.legend(edgecolor="none", loc="lower left")


def _contacts(axes: Axes, pair: Pair, model: str) -> None:
    axes.set(xlabel="residue", ylabel="residue", title=f"Contacts, {model} less MD")
    found = panels.contacts(pair)
    if isinstance(found, str):
        _without(axes, found)
        return
    residues = pair.residue_index[pair.atoms.residue[pair.ca]] + 1
    ends = (residues[0] - 0.5, residues[-1] + 0.5)
    drawn = axes.imshow(found, cmap="RdBu_r", vmin=-1, vmax=1, origin="lower", extent=(*ends, *ends))
    axes.figure.colorbar(drawn, ax=axes, label=f"share of conformations within {panels.CONTACT:g} Å")


def _dot(count: int) -> float:
    """Return the area of each of ``count`` dots, in square points."""
    return float(np.clip(4000 / count, 2, 30))


def _energy(axes: Axes, pair: Pair, model: str) -> None:
    protocol = pair.energy_protocol or "none"
    axes.set(
        xlabel="potential energy (kJ/mol)", ylabel="share of conformations", title=f"Potential energy ({protocol})"
    )
    found = panels.energies(pair)
    if isinstance(found, str):
        _without(axes, found)
        return
    edges = np.linspace(min(found.md.min(), found.model.min()), found.end, 41)
    for energies, colour, name in ((found.md, _MD, "MD"), (found.model, _MODEL, model)):
        beyond = np.mean(energies > found.end)
        label = f"{name} ({beyond:.0%} beyond)" if beyond else name
        weights = np.full(len(energies), 1 / len(energies))
        axes.hist(
            energies, edges.tolist(), weights=weights, histtype="stepfilled", alpha=0.55, color=colour, label=label
        )
    axes.legend(frameon=False)


def _without(axes: Axes, reason: str) -> None:
    axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
    axes.text(0.5, 0.5, reason, ha="center", va="center", wrap=True, transform=axes.transAxes)
