"""Moved to ``ebabench.generators.protocol``, ``ebabench.scoring.spec`` and ``ebabench.scoring.metric``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "FloatArray": "ebabench.structures.arrays",
        "Better": "ebabench.scoring.spec",
        "Need": "ebabench.scoring.spec",
        "Aggregate": "ebabench.scoring.spec",
        "NotAvailable": "ebabench.scoring.spec",
        "Value": "ebabench.scoring.spec",
        "MetricSpec": "ebabench.scoring.spec",
        "Provides": "ebabench.generators.protocol",
        "Generator": "ebabench.generators.protocol",
        "Stoppable": "ebabench.generators.protocol",
        "Resources": "ebabench.generators.protocol",
        "Metric": "ebabench.scoring.metric",
    },
)
