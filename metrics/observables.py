"""What a structural biologist looks at: contacts that break and form, side chains that come to the surface.

Definitions: Jing et al., ICML 2024 (arXiv:2402.04845).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ebabench.metrics.flexibility import pearson
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.structures.arrays import Positions

CONTACT = 8.0  # angstrom, between C-alphas
WEAK, TRANSIENT, EXPOSED = 0.9, 0.1, 0.1
_APART = 3  # residues: nearer ones are always in contact
_NOISE = 1e-12  # nats: the mutual information of two values in a thousand frames is a million times this

_BoolArray = npt.NDArray[np.bool_]
_spec = partial(
    MetricSpec, version=1, unit="", better="higher", aggregate="median", paper="arXiv:2402.04845",
    depends_on_samples=True,
)  # fmt: skip


def contact_frequency(ca: Positions) -> FloatArray:
    """Share [C, C] of the frames of ca [S, C, 3] in which two C-alphas are nearer than 8 angstrom."""
    from ebabench.metrics.contacts import near

    return near(ca, CONTACT)


def jaccard(first: _BoolArray, second: _BoolArray) -> float:
    """Size of the intersection over size of the union; NaN if both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else float("nan")


def mutual_information(indicator: _BoolArray) -> FloatArray:
    """Mutual information [R, R] in nats of every two columns of indicator [S, R]; the diagonal is set to 0.

    The arithmetic is the published one, to the order of its operations. Where a column is constant the result is 0 but
    for rounding, and the published rank correlation ranks that rounding.
    """
    samples, residues = indicator.shape
    on = indicator.sum(0)
    both = (indicator.T.astype(np.float64) @ indicator.astype(np.float64)).round()
    counts = np.empty((residues, residues, 2, 2))
    counts[:, :, 1, 1] = both
    counts[:, :, 1, 0] = on[:, None] - both
    counts[:, :, 0, 1] = on[None, :] - both
    counts[:, :, 0, 0] = samples - on[:, None] - on[None, :] + both
    joint = counts / samples
    single = np.stack([1 - on / samples, on / samples], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = joint * np.log(joint / (single[None, :, None, :] * single[:, None, :, None]))
    information: FloatArray = np.nansum(terms, axis=(-1, -2))
    np.fill_diagonal(information, 0)
    return information


def spearman(first: FloatArray, second: FloatArray) -> float:
    """Spearman's rho of all entries, ties sharing their mean rank; NaN where one side does not vary."""
    return pearson(_ranks(first), _ranks(second))


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks of all entries, flattened, from 1; scipy.stats has them, too, and takes half a second to load."""
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(count) - (count - 1) / 2)[which.ravel()]
    return ranks


def secondary_structure(atoms: Atoms, positions: Positions) -> FloatArray:
    """Shares [R, 3] of frames of positions [S, N, 3] with helix, strand and coil (Kabsch and Sander, 1983)."""
    import mdtraj

    topology = mdtraj.Topology()
    chain = topology.add_chain()
    start = np.flatnonzero(np.diff(atoms.residue, prepend=-1))
    residues = [topology.add_residue(str(name), chain) for name in atoms.residue_name[start]]
    backbone = atoms.select("N", "CA", "C", "O")
    for k in backbone:
        name = str(atoms.name[k])
        topology.add_atom(name, mdtraj.element.Element.getBySymbol(name[0]), residues[atoms.residue[k]])
    codes = mdtraj.compute_dssp(mdtraj.Trajectory(positions[:, backbone] / 10, topology), simplified=True)
    return np.stack([(codes == code).mean(0) for code in "HEC"], axis=1)


def compute(pair: Pair) -> Mapping[str, Value]:
    """Every number of the family for one pair."""
    native = contact_frequency(pair.native_ca[None]) > 0.5
    model, md = contact_frequency(pair.model_ca), contact_frequency(pair.md_ca[pair.md_draw])
    along = pair.residue_index[pair.atoms.residue[pair.ca]]
    apart = np.subtract.outer(along, along) >= _APART
    values: dict[str, Value] = {
        "weak_contacts_j": jaccard(native & (model < WEAK), native & (md < WEAK)),
        "transient_contacts_j": jaccard(~native & (model > TRANSIENT), ~native & (md > TRANSIENT)),
        "contact_rmse": NotAvailable("no two C-alphas are three residues apart"),
    }
    if apart.any():
        values["contact_rmse"] = float(np.sqrt(((model - md)[apart] ** 2).mean()))
    return values | {"secondary_structure_mae": _secondary_structure(pair)} | _exposure(pair)


def _secondary_structure(pair: Pair) -> Value:
    if lack := pair.unavailable_reason("backbone"):
        return lack
    model = secondary_structure(pair.atoms, pair.model)
    md = pair.of_reference("structure", 1, lambda: {"shares": secondary_structure(pair.atoms, pair.md(pair.md_draw))})
    return float(np.abs(model - md["shares"]).mean())


def _exposure(pair: Pair) -> dict[str, Value]:
    if lack := pair.unavailable_reason("heavy"):
        return dict.fromkeys(("exposed_residue_j", "exposed_mi_rho", "exposed_mi_rho_exact"), lack)
    from ebabench.metrics.surface import exposed

    # The published scorer reads the model's positions in the reference's order under names in the model's own.
    order = pair.model_order if pair.protocol == "alphaflow" else slice(None)
    atoms = Atoms(pair.atoms.name[order], pair.atoms.residue_name[order], pair.atoms.residue[order])
    buried = ~exposed(pair.atoms, pair.native[None])[0]
    model = exposed(atoms, pair.model)
    once, again = np.unique(pair.md_draw_1000, return_inverse=True)
    md = pair.of_reference("exposed", 2, lambda: {"exposed": exposed(pair.atoms, pair.md(once))})["exposed"][again]
    noisy = [mutual_information(side) for side in (model, md)]
    exact = [np.where(np.abs(side) < _NOISE, 0, side) for side in noisy]
    return {
        "exposed_residue_j": jaccard(buried & (model.mean(0) > EXPOSED), buried & (md.mean(0) > EXPOSED)),
        "exposed_mi_rho": spearman(*noisy),
        "exposed_mi_rho_exact": spearman(*exact),
    }


OBSERVABLES = Metric(
    "observables",
    (
        _spec("weak_contacts_j", title="Native contacts that open, Jaccard", needs="ca"),
        _spec("transient_contacts_j", title="Contacts that form, Jaccard", needs="ca"),
        _spec("contact_rmse", title="Error of contact frequencies", better="lower", needs="ca",
              paper="doi:10.1038/s41467-023-36443-x"),
        _spec("secondary_structure_mae", title="Error of shares of helix, strand and coil", better="lower",
              needs="backbone", paper="doi:10.1002/bip.360221211"),
        _spec("exposed_residue_j", title="Buried side chains that come to the surface, Jaccard", needs="heavy"),
        _spec("exposed_mi_rho", title="Concerted exposure of side chains, rank correlation", needs="heavy"),
        _spec("exposed_mi_rho_exact", title="Concerted exposure of side chains, rank correlation, noise-free",
              needs="heavy", paper="arXiv:2402.04845, corrected"),
    ),
    compute,
)  # fmt: skip
