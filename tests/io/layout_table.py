"""Print the table of docs/how-to/reading-ensembles.md: what `ebabench inspect` says of every layout of these tests.

``PYTHONPATH=tests python tests/io/layout_table.py``, from the root of the repository.
"""

import tempfile
from collections import Counter
from pathlib import Path

from layout_files import NAME, TARGETS
from test_layouts_generators import LAYOUTS

from ebabench.datasets.suites import Suite, SuiteTarget
from ebabench.workflows.inspect import Inspected, inspect

_TITLES = {
    "bioemu1": "BioEmu 1",
    "bioemu1_side_chains": "BioEmu 1, after `bioemu.sidechain_relax`",
    "bioemu1_free_md": "BioEmu 1, after `sidechain_relax --simtime-ns`",
    "bioemu2": "BioEmu 2",
    "mdgen": "MDGen, a folder per target",
    "mdgen_runs": "MDGen, several runs",
    "asam": "aSAM, with `--keep_no_min --ca`",
    "confrover": "ConfRover, trajectories",
    "confrover_independent": "ConfRover, independent samples",
    "confrover_arrays": "ConfRover, atom37 arrays",
    "boltz": "Boltz-1, Boltz-2",
    "protenix": "Protenix, EBA",
    "openfold3": "OpenFold3",
    "biokinema": "BioKinema",
    "chai": "Chai-1",
    "alphafold3": "AlphaFold 3, local",
    "alphafold_server": "AlphaFold Server, a zip per job",
    "alphafold_server_all": "AlphaFold Server, all jobs in one zip",
    "alphafold2": "AlphaFold 2",
    "colabfold": "ColabFold",
    "colabfold_zip": "ColabFold, `--zip`",
    "alphaflow": "AlphaFlow, ESMFlow",
    "str2str": "Str2Str",
    "confdiff": "ConfDiff",
    "bioemu_benchmarks": "bioemu-benchmarks",
}


def row(make: str, one: Inspected) -> str:
    """Return one line of the table."""
    atoms = "backbone" if one.backbone_only else "heavy atoms"
    left = [f"{number} × {reason}" for reason, number in Counter(reason for _, reason in one.left_out).items()]
    if one.rejected:
        left.append(f"{sum(one.rejected.values())} frames that `physicality.json` rejects")
    files = ", ".join(f"`{Path(path).name}`" for path in one.files[:2]) + ", ..." * (len(one.files) > 2)
    said = "; ".join(left) or "–"
    return f"| {_TITLES[make]} | {one.layout} | {files} | {one.conformations} | {atoms} | {said} |"


def main() -> None:
    """Make every layout in a folder of its own, inspect it, and print the table."""
    targets = tuple(SuiteTarget(name, sequence) for name, sequence in TARGETS.items())
    suite = Suite(
        id="layouts", title="Layouts", split="test", family="x", tier="folder", protocol="corrected", samples=2, seed=0,
        targets=targets,
    )  # fmt: skip
    print(
        "| output of | recognised as | read | conformations | atoms | left out |\n| --- | --- | --- | --- | --- | --- |"
    )
    for make in LAYOUTS:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "output"
            root.mkdir()
            make(root)
            found = {one.target: one for one in inspect(root, suite).targets}[NAME]
            assert not found.refused, found.refused
            print(row(make.__name__, found))


if __name__ == "__main__":
    main()
