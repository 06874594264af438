"""The public API: what `import ebabench` promises, and what it costs."""

import subprocess
import sys

import pytest

import ebabench

HEAVY = ("torch", "openmm", "mdtraj", "pandas", "numpy", "scipy", "pydantic", "typer", "rich", "numba", "MDAnalysis")


def in_a_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_import_loads_nothing_heavy() -> None:
    assert in_a_process(f"import sys, ebabench; print([name for name in {HEAVY} if name in sys.modules])") == "[]\n"


def test_only_what_is_given_is_imported() -> None:
    code = "import sys, ebabench; ebabench.score; ebabench.Ensemble; ebabench.list_suites; "
    code += "print([name for name in ('torch', 'openmm', 'mdtraj', 'MDAnalysis') if name in sys.modules])"
    assert in_a_process(code) == "[]\n"


@pytest.mark.parametrize("name", ebabench.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    thing = getattr(ebabench, name)
    assert name == "__version__" or thing.__doc__
    assert name in dir(ebabench)


def test_all_is_what_is_loaded_lazily() -> None:
    assert set(ebabench.__all__) == {*ebabench._HOME, "__version__"}


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="scoer"):
        _ = ebabench.scoer
