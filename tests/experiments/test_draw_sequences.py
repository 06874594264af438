"""The sequences of a suite without MD are no others' test, validation or training sequences."""

from pathlib import Path

import draw_sequences
import pytest

from ebabench.datasets.suites import load_suite, suite_ids


def test_names_of_other_splits_and_suites_are_not_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    letters = "ADEGHIKLNS"
    names = [a + b + c + d for a in letters for b in letters for c in letters for d in letters[:2]]
    taken = {"4AA_val": names[:40], "4AA_test": names[40:80], "4AA_implicit_val": names[80:120]}
    taken["4AA_implicit_test"] = names[120:160]
    for split, listed in {**taken, "4AA_implicit_train": names}.items():
        (tmp_path / f"{split}.csv").write_text("name,seqres\n" + "".join(f"{name},{name}\n" for name in listed))
    draw_sequences.main([str(tmp_path)])
    suite = tmp_path / f"{draw_sequences.SUITE}.toml"
    suite.write_text(capsys.readouterr().out)
    drawn = {target.sequence for target in load_suite(str(suite)).targets}
    assert len(drawn) == draw_sequences.COUNT
    assert drawn <= set(names)
    assert not drawn & {name for listed in taken.values() for name in listed}
    for other in suite_ids():
        if other.startswith("peptides-") and other != draw_sequences.SUITE:
            assert not drawn & {target.sequence for target in load_suite(other).targets}
