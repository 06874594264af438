"""`models check`: every breach of the contract is found by the check of its name, which says how to mend it."""

from pathlib import Path

import pytest

from ebabench.generators.cards import CARDS, load_card
from ebabench.workflows.conformance import Finding, conformance, unstarted

CARD = """
name = "odd"
title = "Odd"
family = "test"
paper = "none"
licence = "MIT"
{code}
[training]
data = "nothing"
overlap = "not_trained"
evidence = "{evidence}"
[environment]
{environment}
"""
MODULE = """
import itertools, socket, urllib.request
import numpy as np
from ebabench.structures import Ensemble

COUNTER = itertools.count()

class Odd:
    def sample(self, target, samples, seed):
        rng = np.random.default_rng(seed)
        atoms = target.atoms
        x = target.native + 0.05 * rng.normal(size=(samples, *target.native.shape))
        {fault}
        return Ensemble(target.name, atoms, np.asarray(x, np.float32))

def build(card, resources):
    return Odd()
"""


def odd(folder: Path, fault: str = "pass", evidence: str = "no parameters", **settings: str) -> list[Finding]:
    """What is found of a model in-process with a fault."""
    name = f"odd_{abs(hash((fault, str(folder))))}"
    (folder / f"{name}.py").write_text(MODULE.format(fault=fault))
    code = settings.get("code", f'entry = "{name}:build"')
    text = CARD.format(code=code, evidence=evidence, environment=settings.get("environment", ""))
    (folder / "odd.toml").write_text(text)
    return conformance(load_card(str(folder / "odd.toml")))


def failed(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.detail for finding in findings if finding.outcome == "failed"}


def test_a_sound_model_passes_all_checks(tmp_path: Path) -> None:
    findings = odd(tmp_path)
    assert [finding.outcome for finding in findings] == ["ok"] * len(findings)
    assert {"count", "atoms", "finite", "unit", "chirality", "deterministic", "timeout", "offline", "card"} <= {
        finding.check for finding in findings
    }


@pytest.mark.parametrize(
    ("fault", "check", "said"),
    [
        ("x = x[:3]", "count", "3 conformations, 4 were asked for"),
        ("x[1, 0, 0] = np.nan", "finite", "1 of 4"),
        ("atoms, x = atoms.take(atoms.select('CA')), x[:, atoms.select('CA')]", "atoms", "lacks"),
        ("x = x / 10", "unit", "nanometres"),
        ("x = x * np.array([1, 1, -1])", "chirality", "mirrored"),
        ("x[2] = x[0]", "independent", "1 of 4 conformations are copies"),
        ("x = x + 0.05 * np.random.normal(size=x.shape)", "deterministic", "differ by up to"),
        ("x = x + 0.01 * next(COUNTER)", "deterministic", "differ by up to 0.01"),
        ("x = target.native + 0.05 * np.random.default_rng(0).normal(size=x.shape)", "seed", "the same conformations"),
        ("return Ensemble(target.name, atoms, np.asarray(x, np.float32), (1,))", "held_out", "no frames of them"),
        ("raise ZeroDivisionError('no sequence')", "sampling", "ZeroDivisionError: no sequence"),
        ("raise ZeroDivisionError('no sequence')", "sampling", ".py, line 13)"),
        ("return x", "sampling", "returned ndarray"),
        ("return Ensemble('other', atoms, np.asarray(x, np.float32))", "sampling", "of other, not of KLED"),
    ],
)
def test_a_breach_is_found_and_its_mending_told(tmp_path: Path, fault: str, check: str, said: str) -> None:
    findings = odd(tmp_path, fault)
    assert list(failed(findings)) == [check]
    assert said in failed(findings)[check]
    assert next(finding for finding in findings if finding.check == check).mend


@pytest.mark.parametrize(
    "fault",
    [
        "urllib.request.urlopen('http://example.invalid/weights', timeout=1)",
        "socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "\n        try: urllib.request.urlopen('http://example.invalid/x')\n        except OSError: pass",
    ],
)
def test_who_asks_the_network_is_told(tmp_path: Path, fault: str) -> None:
    found = failed(odd(tmp_path, fault))
    assert found
    assert any("example.invalid" in detail or "192.0.2.1" in detail for detail in found.values())


@pytest.mark.parametrize(
    ("settings", "check", "said"),
    [
        ({"evidence": "TODO"}, "card", "TODO"),
        ({"code": 'entry = "no_such_module:build"'}, "code", "no_such_module"),
        ({"code": 'script = "none.py"', "environment": 'kind = "worker"'}, "code", "there is no file"),
        ({"code": 'script = "broken.py"', "environment": 'kind = "worker"'}, "code", "broken.py"),
        ({"code": 'script = "not_alone.py"', "environment": 'kind = "worker"'}, "code", "line 2: imports ebabench"),
        ({"code": 'script = "alone.py"', "environment": 'kind = "worker"\nrequirements = ["torch"]'}, "card", "torch"),
    ],
)
def test_what_needs_no_sampling_is_checked_without(
    tmp_path: Path, settings: dict[str, str], check: str, said: str
) -> None:
    (tmp_path / "broken.py").write_text("def main(:\n")
    (tmp_path / "not_alone.py").write_text("import os\nfrom ebabench.structures import Ensemble\n")
    (tmp_path / "alone.py").write_text("import os\n")
    found = odd(tmp_path, **settings)
    assert said in failed(found)[check]
    assert next(finding for finding in found if finding.check == "sampling").outcome == "skipped"


def test_a_worker_that_is_not_installed_is_told_truly(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text("import os\n")
    environment = 'kind = "worker"\nrequirements = ["nothing-of-the-kind==1.0"]'
    checkpoint = '\n[[checkpoints]]\nname = "main"\nurl = "https://example.invalid/w.pt"\n'
    found = odd(tmp_path, code='script = "alone.py"', environment=environment + checkpoint)
    assert failed(found) == {}
    by_check = {finding.check: finding for finding in found}
    assert by_check["sampling"].detail == "it needs install and weights"
    assert by_check["sampling"].mend == f"ebabench models install {tmp_path / 'odd.toml'}"
    assert "https://example.invalid/w.pt" in by_check["weights"].detail
    assert by_check["environment"].outcome == "skipped"


@pytest.mark.parametrize("name", list(CARDS))
def test_every_card_of_the_project_is_complete_and_its_code_there(name: str) -> None:
    assert failed(unstarted(CARDS.load(name))) == {}


@pytest.mark.slow
def test_a_deadline_that_is_too_near_is_told(tmp_path: Path) -> None:
    from ebabench.generators.scaffold import scaffold

    path = scaffold("slow", "worker", tmp_path)[0]
    path.write_text(path.read_text().replace("timeout = 3600", "timeout = 30"))
    script = tmp_path / "slow_worker.py"
    script.write_text(script.read_text().replace("def main():", "time.sleep(4)\n\n\ndef main():"))
    found = failed(conformance(load_card(str(path))))
    assert list(found) == ["timeout"]
    assert "a whole target may take no more than 30 s" in found["timeout"]


def test_a_lock_beside_the_card_pins_its_requirements(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text("import os\n")
    (tmp_path / "odd.lock").write_text("torch==2.13.0\n")
    found = odd(tmp_path, code='script = "alone.py"', environment='kind = "worker"\nrequirements = ["torch"]')
    assert failed(found) == {}


def test_a_placeholder_is_no_commit(tmp_path: Path) -> None:
    environment = f'kind = "ensembles"\nrepository = "https://x.org/y"\ncommit = "{"0" * 40}"\ncommand = "make"'
    found = odd(tmp_path, code='converter = "ebabench.io.structure_files:read_ensemble"', environment=environment)
    assert "all zeros" in failed(found)["card"]
