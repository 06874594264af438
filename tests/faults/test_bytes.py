"""A flipped byte or a cut end: refused by name, or read with a change of that size; no traceback, no hang, no crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import SUITE
from damage import campaign
from formats import formats
from harness import Tally

FORMATS = formats(SUITE)
SAMPLE, WHOLE = (60, 20), (2000, 500)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged(name: str, tmp_path: Path, tally: Tally, whole: bool) -> None:
    flips, cuts = WHOLE if whole else SAMPLE
    outcome = campaign(FORMATS[name], tmp_path / "place", flips, cuts)
    tally.damaged[name] = flips, cuts, outcome
    assert sum(outcome.counts.values()) == flips + cuts
    assert not outcome.wrong, "\n".join(outcome.wrong[:5])
