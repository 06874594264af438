"""Moved to ``ebabench.workflows.conformance``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "Finding": "ebabench.workflows.conformance",
        "conformance": "ebabench.workflows.conformance",
        "unstarted": "ebabench.workflows.conformance",
    },
)
