"""Configuration of the documentation, which ``tox -e docs`` builds."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

sys.path.insert(0, str(Path(__file__).parent))

from generated_pages import PROJECT, write_pages

import ebabench

project = "ebabench"
author = "the ebabench authors"
release = version = ebabench.__version__
html_title = f"ebabench {release}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["_build", "jupyter_execute", "figures", "reference/generated"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide-tables.css"]
html_extra_path = [
    f"../leaderboards/{page.name}" for page in (Path(__file__).parent.parent / "leaderboards").glob("*.html")
]
html_theme_options = {
    "source_repository": PROJECT["urls"]["Repository"],
    "source_branch": "main",
    "source_directory": "docs/",
}

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
copybutton_prompt_text = "$ "

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False

_log = logging.getLogger(__name__)


def _require_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Warn about a public name without a docstring. The strict build turns the warning into an error."""
    del app, obj, options
    if not any(lines) and what in ("module", "class", "exception", "function", "method", "property"):
        _log.warning("%s has no docstring", name, type="autodoc", subtype="undocumented")


def setup(app: Sphinx) -> None:
    """Connect the generated pages and the check of docstrings to the build."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "reference" / "generated"))
    app.connect("autodoc-process-docstring", _require_docstring)
