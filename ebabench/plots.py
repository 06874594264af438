"""Pictures of a run, one a target: fluctuations, the plane of MD's principal components, energies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ebabench.errors import RunError
from ebabench.pairing import Pair, make_pair
from ebabench.records import Record
from ebabench.runs import Run
from ebabench.structures import Reference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MODEL, _MD = "#0b63b5", "#8a929b"


def plot_run(run: Run, reference: Callable[[str], Reference]) -> list[Path]:
    """A picture of every scored target, ``plots/TARGET.png`` in the run folder.

    Fluctuation along the chain, model and MD; the model's conformations over the density of MD in the plane of MD's
    first two principal components (C-alphas, in angstrom of RMSD); and, where the suite names an energy protocol and
    the model has the atoms, the distributions of energy. Targets without an ensemble in the folder are left out.

    Raises:
        RunError: a picture cannot be written.
    """
    paths: list[Path] = []
    for record in run.records():
        ensemble = run.load_ensemble(record.target)
        if record.error or ensemble is None:
            continue
        pair = make_pair(
            ensemble, reference(record.target), protocol=run.identity.protocol, energy_protocol=run.identity.energy
        )
        path = run.folder / "plots" / f"{record.target}.png"
        try:
            path.parent.mkdir(exist_ok=True)
            _picture(record, pair, run.identity.model).savefig(path, dpi=120)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}; {len(paths)} pictures are kept") from error
        paths.append(path)
    return paths


def _picture(record: Record, pair: Pair, model: str) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    panels = [_fluctuation, _plane] + ([_energy] if pair.energy_protocol and pair.lacks("energy") is None else [])
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axes, pair, model)
    figure.suptitle(f"{record.target}: {record.n_samples} samples, {record.n_reference_frames} frames of {record.tier}")
    return figure


def _fluctuation(axes: Axes, pair: Pair, model: str) -> None:
    residues = pair.place[pair.atoms.residue[pair.ca]] + 1
    own = pair.model[:, pair.ca]
    axes.plot(residues, pair.md_rmsf[pair.ca], "o-", color=_MD, label="MD")
    axes.plot(residues, np.sqrt(own.var(0).sum(1)), "o-", color=_MODEL, label=model)
    axes.set(xlabel="residue", ylabel="RMSF of the C-alpha (Å)", ylim=(0, None), title="Fluctuation")
    axes.legend(frameon=False)


def _plane(axes: Axes, pair: Pair, model: str) -> None:
    from sklearn.decomposition import PCA

    flat = pair.md_ca.reshape(len(pair.md_ca), -1)
    plane = PCA(2, svd_solver="covariance_eigh").fit(flat)
    scale = np.sqrt(len(pair.ca))
    md, own = (plane.transform(x.reshape(len(x), -1)) / scale for x in (pair.md_ca, pair.model_ca))
    axes.hexbin(md[:, 0], md[:, 1], gridsize=40, cmap="Greys", bins="log", linewidths=0.1)
    axes.scatter(own[:, 0], own[:, 1], s=9, color=_MODEL, alpha=0.7, linewidths=0, label=model)
    axes.set(xlabel="component 1 (Å)", ylabel="component 2 (Å)", title="Principal components of MD (grey: its density)")
    axes.set_aspect("equal", "datalim")
    axes.legend(frameon=False)


def _energy(axes: Axes, pair: Pair, model: str) -> None:
    from ebabench.nomenclature import canonical
    from ebabench.physics.energy import potential_energies

    assert pair.energy_protocol is not None
    frames = np.unique(pair.a)
    md = potential_energies(canonical(pair.reference.target.atoms), pair.md_as_read(frames), pair.energy_protocol)
    own = potential_energies(pair.atoms, pair.model_as_read, pair.energy_protocol)
    known = np.concatenate([md[np.isfinite(md)], own[np.isfinite(own)]])
    if len(known):
        # A clash may be 10^6 above the rest: it is drawn in the last bin.
        edges = np.linspace(known.min(), np.quantile(known, 0.95) + np.ptp(np.quantile(known, (0.05, 0.95))), 41)
        for energies, colour, name in ((md, _MD, "MD"), (own, _MODEL, model)):
            inside = np.minimum(energies[np.isfinite(energies)], edges[-1])
            axes.hist(inside, edges.tolist(), density=True, histtype="stepfilled", alpha=0.55, color=colour, label=name)
        axes.legend(frameon=False)
    axes.set(xlabel=f"{pair.energy_protocol} (kJ/mol)", yticks=[], title="Potential energy")
