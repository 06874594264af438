"""Contacts of C-alphas that break and form. Definitions: Jing et al., ICML 2024 (arXiv:2402.04845)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.structures.arrays import Positions

CONTACT = 8.0  # angstrom, between C-alphas
WEAK, TRANSIENT = 0.9, 0.1
_APART = 3  # residues: nearer ones are always in contact

_BoolArray = npt.NDArray[np.bool_]
_spec = partial(
    MetricSpec, version=1, unit="", better="higher", aggregate="median", needs="ca", paper="arXiv:2402.04845",
    depends_on_samples=True,
)  # fmt: skip


def contact_frequency(ca: Positions, weights: FloatArray | None = None) -> FloatArray:
    """Return how often two C-alphas are nearer than 8 angstrom, [C, C] in [0, 1].

    Args:
        ca: [S, C, 3] in angstrom.
        weights: [S], of sum 1; None for equal weights.
    """
    from ebabench.metrics.kernels.contacts import near

    return near(ca, CONTACT, weights)


def jaccard(first: _BoolArray, second: _BoolArray) -> float:
    """Return the size of the intersection over the size of the union; NaN if both sets are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else float("nan")


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair."""
    native = contact_frequency(pair.native_ca[None]) > 0.5
    model = contact_frequency(pair.model_ca, pair.weights)
    md = contact_frequency(pair.md_ca[pair.md_draw])
    values: dict[str, Value] = {
        "weak_contacts_j": jaccard(native & (model < WEAK), native & (md < WEAK)),
        "transient_contacts_j": jaccard(~native & (model > TRANSIENT), ~native & (md > TRANSIENT)),
        "contact_rmse": NotAvailable("no two C-alphas are three residues apart"),
    }
    along = pair.residue_index[pair.atoms.residue[pair.ca]]
    apart = np.subtract.outer(along, along) >= _APART
    if apart.any():
        every = pair.of_reference("contacts", 1, lambda: {"frequency": contact_frequency(pair.md_ca)})["frequency"]
        values["contact_rmse"] = float(np.sqrt(((model - every)[apart] ** 2).mean()))
    return values


CONTACTS = Metric(
    "contacts",
    (
        _spec("weak_contacts_j", title="Native contacts that open, Jaccard",
              means="Jaccard index, between model and MD (draw A), of the sets of C-alpha pairs that are in contact "
                    "(nearer than 8 Å) in the native structure and in less than 90 % of frames.",
              cannot_see="How often a contact is open does not count beyond the threshold. It is undefined where "
                         "neither has such a pair, as in most tetrapeptides."),
        _spec("transient_contacts_j", title="Contacts that form, Jaccard", default_view=("atlas",),
              means="Jaccard index, between model and MD (draw A), of the sets of C-alpha pairs that are not in "
                    "contact (nearer than 8 Å) in the native structure and are in contact in more than 10 % of "
                    "frames.",
              cannot_see="How often a contact forms does not count beyond the threshold. It is undefined where "
                         "neither has such a pair, as in most tetrapeptides."),
        _spec("contact_rmse", version=2, title="Error of contact frequencies", better="lower",
              paper="doi:10.1038/s41467-023-36443-x",
              means="Root mean square error of the contact frequencies (nearer than 8 Å) of C-alphas three or more "
                    "residues apart. MD is all reference frames.",
              cannot_see="It does not see contacts of side chains, nor which contacts form together. Pairs that "
                         "never touch lower it, so that values of long and short proteins do not compare."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
