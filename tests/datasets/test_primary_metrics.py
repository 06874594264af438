"""The primary metrics of shipped suites: few, registered, of different families, and no part of what a row means."""

from dataclasses import replace

import pytest

from ebabench.datasets.suites import load_suite, suite_ids
from ebabench.scoring.selection import registered

JUDGED = [name for name in suite_ids() if load_suite(name).split != "train"]


@pytest.mark.parametrize("name", JUDGED)
def test_a_suite_names_few_metrics_of_different_families(name: str) -> None:
    primary = load_suite(name).primary
    family = {spec.key: metric.name for metric in registered() for spec in metric.specs}
    assert 3 <= len(primary) <= 5
    assert len({family[key] for key in primary}) == len(primary)
    if load_suite(name).split == "val":
        return
    # With 8 targets the least p of the test is 0.0078: more metrics could never give a verdict after Holm's correction.
    assert len(primary) * 2 / 2 ** len(load_suite(name).targets) <= 0.05


@pytest.mark.parametrize("name", JUDGED)
def test_a_primary_metric_is_an_error_of_a_target(name: str) -> None:
    specs = {spec.key: spec for metric in registered() for spec in metric.specs}
    for key in load_suite(name).primary:
        assert specs[key].aggregate in ("median", "mean")
        assert not specs[key].of


def test_what_is_primary_changes_no_figure_and_no_digest() -> None:
    suite = load_suite("peptides-v1")
    assert replace(suite, primary=()).digest() == suite.digest()
