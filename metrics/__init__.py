"""The metrics: one module per family. Installed as ``ebabench.metrics``."""

FAMILIES: dict[str, str] = {
    "flexibility": "ebabench.metrics.flexibility:FLEXIBILITY",
    "distances": "ebabench.metrics.distances:DISTANCES",
    "distribution": "ebabench.metrics.distribution:DISTRIBUTION",
    "free_energy": "ebabench.metrics.free_energy:FREE_ENERGY",
    "collapse": "ebabench.metrics.collapse:COLLAPSE",
    "ramachandran": "ebabench.metrics.ramachandran:RAMACHANDRAN",
    "torsions": "ebabench.metrics.torsions:TORSIONS",
    "slow_torsions": "ebabench.metrics.slow_torsions:SLOW_TORSIONS",
    "divergence": "ebabench.metrics.divergence:DIVERGENCE",
    "similarity": "ebabench.metrics.similarity:SIMILARITY",
    "contacts": "ebabench.metrics.contacts:CONTACTS",
    "secondary_structure": "ebabench.metrics.secondary_structure:SECONDARY_STRUCTURE",
    "exposure": "ebabench.metrics.exposure:EXPOSURE",
    "validity": "ebabench.metrics.validity:VALIDITY",
    "energy": "ebabench.metrics.energy:ENERGY",
    "classifier": "ebabench.metrics.classifier:CLASSIFIER",
}
"""Name of a family -> where its ``Metric`` is."""
