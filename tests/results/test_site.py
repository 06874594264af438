"""The site of a small suite: its pages, what they say, and that nothing on a card or in a table becomes markup."""

import gzip
import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from browser import built_site, tiny_site  # noqa: F401
from stub_runs import Stub

from ebabench.errors import InputError
from ebabench.results.leaderboard import Board
from ebabench.results.site import SuiteSite, build_site
from ebabench.results.site.pages import link, slug
from ebabench.scoring.metric import METRICS
from ebabench.scoring.records import MetricValues
from ebabench.structures import Ensemble

SPECS = tuple(spec for name in METRICS for spec in METRICS.load(name).specs if spec.aggregate)
NASTY = "<script>alert(1)</script>"


def line(model: str, **cells: str) -> dict[str, str]:
    head = ("model", "status", "because", "overlap", "samples", "seed", "targets")
    tail = ("undefined", "marks", "stale", "card", "ebabench", "versions", "references")
    return dict.fromkeys((*head, *tail), "") | {"model": model, "status": "official"} | cells


def suite_of(*lines: dict[str, str], quoted: tuple[dict[str, str], ...] = ()) -> SuiteSite:
    board = Board("toy-v1", SPECS, lines, quoted)
    return SuiteSite(board, "A toy suite", 250, "peptides", {}, None, lambda model, target: None)


def hostile_suite() -> SuiteSite:
    """A model with a card and a name, and targets with marks, that would be code if they were not text."""
    card = {
        "name": "evil",
        "title": NASTY,
        "family": NASTY,
        "paper": "javascript:alert(1)",
        "licence": f'"{NASTY}',
        "sampling": {NASTY: "=cmd()"},
        "training": {"data": NASTY, "overlap": NASTY, "evidence": "javascript:alert(1)"},
    }
    figures = [MetricValues({"basin_populations_tv": 0.1 * k}) for k in range(4)]
    runs = {"=cmd()": Stub("=cmd()", figures, card=card)}
    quoted = line("=cmd()") | {"status": "quoted", "source": "javascript:alert(1)", "atoms": NASTY}
    measured = line("=cmd()", basin_populations_tv="5") | {"because": NASTY, "overlap": NASTY}
    return replace(suite_of(measured, quoted=(quoted,)), title=NASTY, runs=runs)


def plain_suite() -> SuiteSite:
    """A model with a card, whose name has a space."""
    card = {
        "name": "my model",
        "title": "A model",
        "family": "test",
        "paper": "arXiv:2402.04845",
        "licence": "MIT",
        "training": {"data": "nothing", "overlap": "not_trained", "evidence": "it has no parameters"},
        "environment": {"kind": "in-process"},
        "sampling": {},
    }
    runs = {
        "my model": Stub("my model", [MetricValues({"basin_populations_tv": 0.1 * k}) for k in range(4)], card=card)
    }
    return replace(suite_of(line("my model", basin_populations_tv="5")), runs=runs)


def without_ags(read: Callable[[str, str], Ensemble | None], model: str, target: str) -> Ensemble | None:
    return None if target == "AGS" else read(model, target)


def test_every_link_of_the_site_leads_to_a_page(built_site: Path) -> None:  # noqa: F811
    pages = sorted(built_site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        for address in re.findall(r'(?:href|src)="([^"#]+)"', page.read_text()):
            if not address.startswith(("http", "data:")):
                assert (page.parent / address).exists(), f"{page}: {address}"


def test_links_are_stable(built_site: Path) -> None:  # noqa: F811
    for path in ("tiny-v1/index.html", "tiny-v1/static/index.html", "tiny-v1/static/KDE.html", "metrics/rmsf_5fr.html"):
        assert (built_site / path).is_file(), path


def test_nothing_is_loaded_from_elsewhere(built_site: Path) -> None:  # noqa: F811
    for page in built_site.rglob("*.html"):
        text = page.read_text()
        assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', text)


def test_a_target_page_says_what_the_finite_md_leaves_open(built_site: Path) -> None:  # noqa: F811
    page = (built_site / "tiny-v1" / "gaussian" / "AGS.html").read_text()
    assert "The slowest torsion of the MD is psi of GLY 2, with 30.0 independent samples." in page
    low, high = re.search(r"<td>(-[\d.]+) to ([\d.]+) =</td>", page).groups()  # type: ignore[union-attr]
    assert float(high) - float(low) == pytest.approx(2 * 1.96 * 1000, rel=0.01)
    assert "interval for the finite MD" not in (built_site / "tiny-v1" / "static" / "AGS.html").read_text()


def test_every_page_says_which_command_made_it(built_site: Path) -> None:  # noqa: F811
    for page in built_site.rglob("*.html"):
        assert "ebabench site runs --out site" in page.read_text()


def test_downloads_hold_the_records(built_site: Path) -> None:  # noqa: F811
    records = json.loads(gzip.decompress((built_site / "tiny-v1" / "static" / "records.json.gz").read_bytes()))
    assert sorted(record["target"] for record in records) == ["AGS", "FAV", "KDE"]


def test_the_best_row_stands_first_by_each_metrics_own_direction(tmp_path: Path) -> None:
    good = line("good", basin_populations_tv="5", ramachandran_w2="10", rmsf_r="0.9", overlap="held_out")
    bad = line("bad", basin_populations_tv="50", ramachandran_w2="90", rmsf_r="0.1")
    build_site([suite_of(bad, good)], tmp_path, "x", processes=1)
    text = (tmp_path / "toy-v1" / "index.html").read_text()
    assert text.index('data-name="good"') < text.index('data-name="bad"')


def test_the_page_of_a_metric_says_what_it_means_and_what_it_cannot_see(tmp_path: Path) -> None:
    build_site([suite_of(line("a", rmsf="1"))], tmp_path, "x", processes=1)
    for spec in SPECS:
        page = (tmp_path / "metrics" / f"{slug(spec.key)}.html").read_text()
        plain = html.unescape(re.sub(r"<[^>]+>", "", page))
        if spec.means:
            assert all(text.replace("`", "") in plain for text in (spec.means, spec.cannot_see)), spec.key
        else:
            assert "MD's own value of" in plain, spec.key


def test_quoted_rows_are_apart_and_baselines_are_not_ranked(tmp_path: Path) -> None:
    quoted = line("Somebody, 2024", rmsf_r="0.99") | {"status": "quoted", "source": "arXiv:2402.04845", "atoms": "ca"}
    build_site(
        [suite_of(line("own", rmsf_r="0.5"), line("static", rmsf_r="0.9"), quoted=(quoted,))],
        tmp_path,
        "x",
        processes=1,
    )
    text = (tmp_path / "toy-v1" / "index.html").read_text()
    ranked, rest = text.split('id="baselines"')
    assert 'data-name="own"' in ranked
    assert 'data-name="static"' in rest.split('id="quoted"')[0]
    assert 'data-name="Somebody, 2024"' in rest.split('id="quoted"')[1]
    assert "https://arxiv.org/abs/2402.04845" in rest


@pytest.mark.parametrize("where", ["model", "because", "overlap"])
def test_text_of_tables_is_never_markup(tmp_path: Path, where: str) -> None:
    build_site([suite_of(line("plain") | {where: f'"{NASTY}'})], tmp_path, "x", processes=1)
    for page in tmp_path.rglob("*.html"):
        assert NASTY not in page.read_text()


def test_a_hostile_card_is_text_on_every_page_and_no_formula_in_a_table(tmp_path: Path) -> None:
    build_site([hostile_suite()], tmp_path, "ebabench site", processes=1)
    assert (tmp_path / "toy-v1" / slug("=cmd()") / "index.html").is_file()
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        assert NASTY not in text
        assert not re.search(r'(?:href|src)="\s*javascript:', text)
    for table in tmp_path.rglob("*.csv"):
        assert not re.search(r"(?:^|,)\"?=", table.read_text(), re.MULTILINE), table
    for data in tmp_path.rglob("*.json"):
        json.loads(data.read_text())


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", 'https://a"b'])
def test_only_web_addresses_become_links(tmp_path: Path, address: str) -> None:
    assert link(address) == ""
    quoted = line("Q") | {"status": "quoted", "source": address}
    build_site([suite_of(line("own"), quoted=(quoted,))], tmp_path, "x", processes=1)
    assert f'href="{address}' not in (tmp_path / "toy-v1" / "index.html").read_text()


def test_names_are_safe_and_distinct_as_paths() -> None:
    names = ["a/b", "a_b", "..", ".", "", "a b", "A", "a", "ä", "../../x"]
    made = [slug(name) for name in names]
    assert len(set(made)) == len(names)
    assert all("/" not in one and not one.startswith(".") and one for one in made)


def test_a_suite_stands_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        build_site([suite_of(line("a")), suite_of(line("a"))], tmp_path, "x")
    assert refused.value.code == "site.suite_twice"


def test_a_target_that_cannot_be_drawn_is_named_and_the_others_are_drawn(
    tiny_site: SuiteSite,  # noqa: F811
    tmp_path: Path,
) -> None:
    made = tiny_site
    other = replace(made, ensemble=partial(without_ags, made.ensemble))
    site = build_site([other], tmp_path / "site", "x", processes=1)
    assert set(site.left_out) == {"tiny-v1/static/AGS", "tiny-v1/gaussian/AGS"}
    assert (tmp_path / "site" / "tiny-v1" / "static" / "KDE.html").is_file()
