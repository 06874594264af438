"""ebabench: which generative model samples a protein's conformations as molecular dynamics does?

The names of ``__all__`` are the public API. They are imported when they are first used.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebabench.datasets.suites import Suite, load_suite
    from ebabench.errors import EbabenchError, InputError, RunError
    from ebabench.results.result import Result
    from ebabench.results.runs import Run
    from ebabench.scoring.metric import Metric
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.spec import MetricSpec, NotAvailable
    from ebabench.structures import Atoms, Ensemble, Reference, Target
    from ebabench.workflows.align import align
    from ebabench.workflows.compare import compare
    from ebabench.workflows.inspect import inspect
    from ebabench.workflows.leakage import leakage
    from ebabench.workflows.listing import list_metrics, list_models, list_suites
    from ebabench.workflows.md_error import md_error
    from ebabench.workflows.md_time import MdTime, md_time
    from ebabench.workflows.models import load_model
    from ebabench.workflows.plot import plot
    from ebabench.workflows.publish import leaderboard
    from ebabench.workflows.run import run, sample
    from ebabench.workflows.score import score
    from ebabench.workflows.score_ensembles import score_ensembles
    from ebabench.workflows.site import site

__version__ = "0.1.0"

_MODULES = {
    "datasets.suites": ("Suite", "load_suite"),
    "errors": ("EbabenchError", "InputError", "RunError"),
    "results.result": ("Result",),
    "results.runs": ("Run",),
    "scoring.metric": ("Metric",),
    "scoring.pair": ("Pair",),
    "scoring.spec": ("MetricSpec", "NotAvailable"),
    "structures": ("Atoms", "Ensemble", "Reference", "Target"),
    "workflows.align": ("align",),
    "workflows.compare": ("compare",),
    "workflows.inspect": ("inspect",),
    "workflows.leakage": ("leakage",),
    "workflows.listing": ("list_metrics", "list_models", "list_suites"),
    "workflows.md_error": ("md_error",),
    "workflows.md_time": ("MdTime", "md_time"),
    "workflows.models": ("load_model",),
    "workflows.plot": ("plot",),
    "workflows.publish": ("leaderboard",),
    "workflows.run": ("run", "sample"),
    "workflows.score": ("score",),
    "workflows.score_ensembles": ("score_ensembles",),
    "workflows.site": ("site",),
}
_HOME = {name: f"ebabench.{module}" for module, names in _MODULES.items() for name in names}
__all__ = [
    "Atoms", "EbabenchError", "Ensemble", "InputError", "MdTime", "Metric", "MetricSpec", "NotAvailable", "Pair",
    "Reference", "Result", "Run", "RunError", "Suite", "Target", "__version__", "align", "compare", "inspect",
    "leaderboard", "leakage", "list_metrics", "list_models", "list_suites", "load_model", "load_suite", "md_error",
    "md_time", "plot", "run", "sample", "score", "score_ensembles", "site",
]  # fmt: skip

# In a clone, models/, metrics/ and leaderboards/ lie beside this folder. An installation has them inside it.
_root = Path(__file__).parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "metrics" / "__init__.py").is_file():
    __path__.append(str(_root))

__path__.append(str(Path(__file__).parent / "deprecated"))  # import paths of version 0.1


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'ebabench' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
