"""The metrics: one module a family. Installed as ``ebabench.metrics``."""

FAMILIES: dict[str, str] = {
    "flexibility": "ebabench.metrics.flexibility:FLEXIBILITY",
    "distribution": "ebabench.metrics.distribution:DISTRIBUTION",
    "collapse": "ebabench.metrics.collapse:COLLAPSE",
    "divergence": "ebabench.metrics.divergence:DIVERGENCE",
    "similarity": "ebabench.metrics.similarity:SIMILARITY",
    "observables": "ebabench.metrics.observables:OBSERVABLES",
    "validity": "ebabench.metrics.validity:VALIDITY",
    "energy": "ebabench.metrics.energy:ENERGY",
}
"""Family -> where its ``Metric`` is."""
