"""Runs of which there are only records."""

from synthetic_runs import identity

from ebabench.scoring.records import Record


class Stub:
    """A run of which there are only records: one a target, with the figures given."""

    def __init__(self, model, figures, **changes):
        self.folder = f"runs/{model}"
        self.identity = identity(model, **changes)
        self._records = [
            Record(str(k), "AG", "md-implicit", 20, 60, 1.0, {"a": 1}, item) for k, item in enumerate(figures)
        ]

    def records(self):
        return self._records
