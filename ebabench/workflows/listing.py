"""List models, metrics and suites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebabench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Rows = list[dict[str, Any]]


def list_models() -> pd.DataFrame:
    """Return a table of the models, one row per card.

    ``state`` says whether a model can run here and now, ``size`` what is on disk and what is to be downloaded.

    Example:
        >>> import ebabench
        >>> ebabench.list_models().loc["static", "state"]
        'ready'
    """
    return _table(model_rows(), "name")


def list_metrics() -> pd.DataFrame:
    """Return a table of the metrics, one row per key.

    Example:
        >>> import ebabench
        >>> ebabench.list_metrics().loc["md_pca_w2", ["unit", "better"]].tolist()
        ['Å', 'lower']
    """
    return _table(metric_rows(), "key")


def list_suites() -> pd.DataFrame:
    """Return a table of the suites, one row per suite.

    Example:
        >>> import ebabench
        >>> int(ebabench.list_suites().loc["peptides-v1", "targets"])
        8
    """
    return _table(suite_rows(), "id")


def model_rows() -> Rows:
    """Return the models as plain data. A card that cannot be read has the state "broken", and the reason as title."""
    from ebabench.generators.cards import CARDS
    from ebabench.generators.status import readiness

    rows: Rows = []
    for name in CARDS:
        row = dict.fromkeys(("state", "size", "family", "overlap", "licence", "title"), "")
        try:
            card = CARDS.load(name)
        except InputError as error:
            row |= {"state": "broken", "title": str(error)}
        else:
            state = readiness(card)
            row |= {"state": str(state), "size": state.size, "family": card.family, "overlap": card.training.overlap}
            row |= {"licence": card.licence, "title": card.title}
        rows.append({"name": name, **row})
    return rows


def metric_rows() -> Rows:
    """Return the metrics as plain data. A plug-in that cannot be used has the version "broken"; its title says why."""
    from ebabench.scoring.metric import load_metrics

    loaded = load_metrics()
    rows: Rows = [
        {
            "key": spec.key,
            "family": name,
            "unit": spec.unit,
            "better": spec.better,
            "version": spec.version,
            "aggregate": spec.aggregate or "",
            "needs": spec.needs,
            "title": spec.title,
            "paper": spec.paper,
        }
        for name, metric in loaded.things.items()
        for spec in metric.specs
    ]
    for name, error in loaded.faults.items():
        broken = dict.fromkeys(rows[0], "") | {"key": name, "family": name, "version": "broken", "title": str(error)}
        rows.append(broken)
    return rows


def suite_rows() -> Rows:
    """Return the suites as plain data."""
    from ebabench.datasets.suites import SUITES, references_made

    suites = [SUITES.load(name) for name in SUITES]
    return [
        {
            "id": suite.id,
            "split": suite.split,
            "targets": len(suite.targets),
            "samples": suite.samples,
            "tier": suite.tier,
            "title": suite.title
            + (f" (in preparation: {references_made(suite)} of {len(suite.targets)})" if suite.draft else ""),
        }
        for suite in suites
    ]


def _table(rows: Rows, index: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows).set_index(index)
