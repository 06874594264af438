"""The site as a reader sees it: in Chromium, by mouse and keyboard, in light, dark and phone width."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, built_site, tiny_site  # noqa: F401

from ebabench.results.site import build_site
from ebabench.results.site.pages import slug

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]
BOARD = "tiny-v1/index.html"
MODEL = "tiny-v1/static/index.html"
TARGET = "tiny-v1/static/KDE.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Reader:
    """A page, and what went wrong on it."""

    def __init__(self, browser: Any, site: Path, **look: Any) -> None:
        self.site = site
        self.faults: list[str] = []
        self.page = browser.new_context(**{"viewport": {"width": 1200, "height": 900}} | look).new_page()
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.faults.append(f"asked for {request.url}")

    def open(self, path: str) -> Any:
        self.page.goto((self.site / path).as_uri())
        return self.page

    def names(self, table: str = "baselines") -> list[str]:
        found: list[str] = self.page.eval_on_selector_all(
            f"#{table} tr[data-name]", "rows => rows.filter(row => !row.hidden).map(row => row.dataset.name)"
        )
        return found


def test_every_page_opens_without_errors_and_without_the_network(chromium: Any, built_site: Path) -> None:  # noqa: F811
    reader = Reader(chromium, built_site)
    pages = sorted(path.relative_to(built_site).as_posix() for path in built_site.rglob("*.html"))
    alike = [path for path in pages if path.startswith("metrics/")][3:]
    alike += [path for path in pages if path.endswith(("AGS.html", "FAV.html"))]  # the viewer takes seconds a page
    for path in [path for path in pages if path not in alike]:
        reader.open(path)
        assert reader.page.title().endswith("ebabench")
    assert reader.faults == []


def test_a_click_sorts_the_best_first_and_a_second_turns_it_around(chromium: Any, built_site: Path) -> None:  # noqa: F811
    reader = Reader(chromium, built_site)
    page = reader.open(BOARD)
    cells = "cells => cells.map(cell => [cell.closest('tr').dataset.name, Number(cell.dataset.loss)])"
    losses = dict(page.eval_on_selector_all("#baselines td[data-key=energy_js]", cells))
    button = page.locator("#measured button[data-sort=energy_js]")
    button.click()
    assert reader.names() == sorted(losses, key=lambda name: losses[name])
    assert button.locator("xpath=..").get_attribute("aria-sort") == "ascending"
    button.click()
    assert reader.names() == sorted(losses, key=lambda name: -losses[name])


def test_sorting_works_by_keyboard(chromium: Any, built_site: Path) -> None:  # noqa: F811
    reader = Reader(chromium, built_site)
    page = reader.open(BOARD)
    page.locator("#measured button[data-sort=name]").focus()
    page.keyboard.press("Enter")
    assert reader.names() == ["gaussian", "static"]
    page.keyboard.press("Enter")
    assert reader.names() == ["static", "gaussian"]


def test_filters_show_and_hide_rows_and_columns(chromium: Any, built_site: Path) -> None:  # noqa: F811
    reader = Reader(chromium, built_site)
    page = reader.open(BOARD)
    visible = "cells => cells.filter(cell => !cell.hidden).map(cell => cell.dataset.key)"
    heads = page.eval_on_selector_all("#measured thead th[data-key]", visible)
    assert 1 <= len(heads) <= 8
    page.locator("#columns summary").click()
    page.get_by_role("checkbox", name="default view").uncheck()
    page.get_by_role("checkbox", name="energy", exact=True).check()
    heads = page.eval_on_selector_all("#measured thead th[data-key]", visible)
    assert heads
    assert all(key.startswith("energy") for key in heads)
    page.get_by_role("searchbox", name="find").fill("gau")
    assert reader.names() == ["gaussian"]
    assert page.locator("#count").inner_text() == "1 of 2 rows shown"
    assert page.locator("#columns-count").inner_text().startswith(f"{len(heads)} of ")


def test_the_scatter_draws_every_row_that_has_both_figures(chromium: Any, built_site: Path) -> None:  # noqa: F811
    page = Reader(chromium, built_site).open(BOARD)
    page.locator("#across").select_option("rmsf_r")
    page.locator("#up").select_option("rmsf")
    assert page.locator("#scatter circle").count() == 2
    assert sorted(page.locator("#scatter text.name").all_text_contents()) == ["gaussian", "static"]
    titles = page.locator("#scatter text.title").all_text_contents()
    assert titles == ["rmsf_r, best: higher", "rmsf (Å), best: nearest MD"]
    assert page.locator("#scatter .whisker").count() == 2
    assert page.locator("#scatter .floor").count() == 2


def test_the_viewer_shows_atoms_that_turn(chromium: Any, built_site: Path) -> None:  # noqa: F811
    reader = Reader(chromium, built_site)
    page = reader.open(TARGET)
    if not page.evaluate("!!document.createElement('canvas').getContext('webgl')"):
        pytest.skip("this Chromium has no WebGL")
    page.wait_for_function("window.viewersReady === true", timeout=20_000)
    place = page.locator("#viewer-model")

    def picture() -> str:
        page.wait_for_timeout(400)
        return hashlib.sha256(place.screenshot()).hexdigest()

    before = picture()
    box = place.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 90, box["y"] + box["height"] / 2 + 30, steps=4)
    page.mouse.up()
    turned = picture()
    assert turned != before
    page.locator("select[name=colour]").select_option("difference")
    assert picture() != turned
    assert reader.faults == []


@pytest.fixture(scope="module")
def plain_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model without MD to draw."""
    from test_site import plain_suite

    return build_site([plain_suite()], tmp_path_factory.mktemp("plain"), "x", processes=1).folder


def test_a_command_is_copied_by_keyboard(chromium: Any, plain_site: Path) -> None:
    reader = Reader(chromium, plain_site, permissions=["clipboard-read", "clipboard-write"])
    page = reader.open("toy-v1/my_20model/index.html")
    page.get_by_role("button", name="Copy: In a terminal").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "ebabench run --model 'my model' --suite toy-v1"
    assert reader.faults == []


@pytest.mark.parametrize("allowed", ["true", "false"])
def test_where_the_clipboard_is_refused_the_command_is_selected(chromium: Any, plain_site: Path, allowed: str) -> None:
    reader = Reader(chromium, plain_site)
    reader.page.add_init_script(
        "navigator.clipboard.writeText = () => Promise.reject(new DOMException('refused', 'NotAllowedError'));"
        f"document.execCommand = () => {allowed};"
    )
    page = reader.open("toy-v1/my_20model/index.html")
    page.get_by_role("button", name="Copy: In Python").click()
    page.get_by_text("Copied" if allowed == "true" else "Selected: press Ctrl+C").wait_for()
    selected = page.evaluate("getSelection().toString()")
    assert selected.splitlines() == ["import ebabench", "run = ebabench.run('my model', suite='toy-v1')"]
    assert reader.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["toy-v1/my_20model/index.html", f"metrics/{slug('basin_populations_tv')}.html"])
def test_commands_and_metrics_fit_a_phone_and_other_senses(
    chromium: Any, plain_site: Path, path: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = Reader(chromium, plain_site, viewport={"width": 400, "height": 800}, color_scheme=scheme).open(path)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    found = axe.Axe().run(page).response["violations"]
    serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []


@pytest.mark.parametrize("path", ["index.html", BOARD, MODEL, TARGET, "metrics/index.html"])
def test_a_phone_needs_no_sideways_scroll(chromium: Any, built_site: Path, path: str) -> None:  # noqa: F811
    page = Reader(chromium, built_site, viewport={"width": 400, "height": 800}).open(path)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["index.html", BOARD, MODEL, TARGET, "metrics/index.html"])
def test_nothing_serious_for_readers_with_other_senses(
    chromium: Any,
    built_site: Path,  # noqa: F811
    path: str,
    scheme: str,
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = Reader(chromium, built_site, color_scheme=scheme).open(path)
    page.wait_for_timeout(300)
    found = axe.Axe().run(page).response["violations"]
    serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []


def test_a_hostile_card_runs_nothing(chromium: Any, tmp_path: Path) -> None:
    from test_site import hostile_suite

    build_site([hostile_suite()], tmp_path, "x", processes=1)
    reader = Reader(chromium, tmp_path)
    alerts: list[str] = []
    reader.page.on("dialog", lambda dialog: alerts.append(dialog.message) or dialog.dismiss())
    for path in ("index.html", "toy-v1/index.html", "toy-v1/_3dcmd_28_29/index.html"):
        page = reader.open(path)
        assert page.locator("#main script, a[href^='javascript']").count() == 0
    assert alerts == []
    assert reader.faults == []
