"""Pictures of a site for the README and the docs: a board, and the page of one target.

    ebabench site runs --out site
    python experiments/site_pictures.py site docs/figures

It needs Chromium and the Python package playwright.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

PICTURES = {
    "site-board.png": ("peptides-v2/index.html", 880),
    "site-target.png": ("peptides-v1/sft-v1/AK16.html", 760),
}
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def main(site: Path, out: Path) -> None:
    """Write the pictures.

    Args:
        site: A site with the runs of peptides-v1 and peptides-v2.
        out: Where the pictures go.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=FLAGS)
        for name, (path, height) in PICTURES.items():
            page = browser.new_page(viewport={"width": 1280, "height": height})
            page.set_default_timeout(120_000)
            page.goto((site.resolve() / path).as_uri())
            page.wait_for_timeout(3000)
            page.screenshot(path=str(out / name))
        browser.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
