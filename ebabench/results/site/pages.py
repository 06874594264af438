"""Pages as files: templates, safe names, and links that are web addresses and nothing else."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ebabench import __version__
from ebabench.results.leaderboard import best, short
from ebabench.system.files import replace_file

_TEMPLATES = Path(__file__).parent / "templates"
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
_GITHUB = re.compile(r"github\.com/[\w.-]+/[\w.-]+")
_DOI = re.compile(r"\bdoi:(10\.\S+)", re.IGNORECASE)


def slug(name: str) -> str:
    """Return a name as a part of a path: letters, digits, dots, dashes; anything else as its code.

    Example:
        >>> slug("AlphaFlow-MD, distilled/2")
        'AlphaFlow-MD_2c_20distilled_2f2'
    """
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else f"_{ord(c):x}" for c in name)
    return f"_{safe}" if safe.startswith(".") or not safe else safe


def link(text: str) -> str:
    """Return the address that a source names, or nothing: of the web, arXiv, a DOI or GitHub.

    Example:
        >>> link("Lu et al., ICML 2025, arXiv:2505.24203")
        'https://arxiv.org/abs/2505.24203'
        >>> link("javascript:alert(1)")
        ''
    """
    if found := _ARXIV.search(text):
        return f"https://arxiv.org/abs/{found[1]}"
    if found := _DOI.search(text):
        return f"https://doi.org/{found[1].rstrip('.,;)')}"
    if found := _GITHUB.match(text):
        return f"https://{found[0]}"
    return text if re.fullmatch(r"https?://[^\s\"'<>]+", text) else ""


def soft(name: str) -> Markup:
    """Return a name that may be broken after its underscores.

    Example:
        >>> soft("rmsf_<r>")
        Markup('rmsf_<wbr>&lt;r&gt;')
    """
    return Markup("_<wbr>").join(name.split("_"))


def prose(text: str) -> Markup:
    """Return the text of a metric, in which code and keys stand in backticks.

    Example:
        >>> prose("`rmsf` <of an atom>")
        Markup('<code>rmsf</code> &lt;of an atom&gt;')
    """
    plain, code = Markup("{}"), Markup("<code>{}</code>")
    return Markup("").join((code if k % 2 else plain).format(part) for k, part in enumerate(text.split("`")))


class Pages:
    """Renders templates to files and counts them.

    Attributes:
        out: The site's folder.
        suites: Ids of the suites, for the navigation.
        command: The command that makes the site.
        count: How many pages were written.
    """

    def __init__(self, out: Path, suites: Sequence[str], command: str) -> None:
        self.out, self.count = out, 0
        self.suites, self.command = tuple(suites), command
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            short=short,
            slug=slug,
            link=link,
            soft=soft,
            prose=prose,
            best=best,
            number=_number,
            nan=math.nan,
            version=__version__,
            documentation=_documentation(),
        )

    def render(self, template: str, path: str, **content: Any) -> None:
        """Write a page."""
        text = self._templates.get_template(template).render(
            root="../" * path.count("/"), suites=self.suites, command=self.command, **content
        )
        self.write(path, text)
        self.count += 1

    def write(self, path: str, data: str | bytes) -> None:
        """Write another file."""
        place = self.out / path
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, data)


def _documentation() -> str:
    """The address of the documentation, as the installed package says; empty where none is installed."""
    try:
        addresses = metadata.metadata("ebabench").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    told = dict(one.split(", ", 1) for one in addresses if ", " in one)
    return link(told.get("Documentation", ""))


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
