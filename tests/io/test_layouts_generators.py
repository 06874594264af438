"""The layouts of generators: which files are conformations of which target, which are left out, and where doubt is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layout_files import (
    NAME,
    SECOND,
    SEQUENCE,
    TARGETS,
    array,
    atom37,
    cif,
    frames,
    pdb,
    physicality,
    text,
    trajectory,
    zipped,
)

from ebabench.io.layouts import Source, find_sources, read_source

WRITTEN = frames()
BACKBONE = ("N", "CA", "C", "CB", "O")


def bioemu1(root: Path) -> None:
    folder = root / NAME
    trajectory(folder / "samples.xtc", 1, 5, names=BACKBONE)
    pdb(folder / "topology.pdb", names=BACKBONE)
    array(folder / "batch_0000000_0000005.npz", pos=np.zeros((5, 9, 3)), node_orientations=np.zeros((5, 9, 3, 3)))
    text(folder / "sequence.fasta", f">x\n{SEQUENCE}\n")


def bioemu1_side_chains(root: Path) -> None:
    bioemu1(root)
    for stem in ("samples_sidechain_rec", "samples_md_equil"):
        trajectory(root / NAME / f"{stem}.xtc", 1, 5)
        pdb(root / NAME / f"{stem}.pdb")


def bioemu1_free_md(root: Path) -> None:
    for k in range(3):
        trajectory(root / NAME / f"frame{k}_md_traj.xtc", 5 * k, 4)
        pdb(root / NAME / f"frame{k}_md_top.pdb", 5 * k)


def bioemu2(root: Path) -> None:
    trajectory(root / NAME / "samples.xtc", 0, 8)
    cif(root / NAME / "topology.cif")
    physicality(root / NAME / "physicality.json", {0, 5}, 8)
    text(root / NAME / "system.yaml", "system")


def mdgen(root: Path) -> None:
    trajectory(root / NAME / f"{NAME}.xtc", 0, 6)
    pdb(root / NAME / f"{NAME}.pdb")


def mdgen_runs(root: Path) -> None:
    pdb(root / f"{NAME}.pdb")
    for k in range(3):
        trajectory(root / f"{NAME}_{k}.xtc", 5 * k, 5)


def asam(root: Path) -> None:
    trajectory(root / f"{NAME}.min.traj.dcd", 0, 6)
    pdb(root / f"{NAME}.min.top.pdb")
    trajectory(root / f"{NAME}.traj.dcd", 0, 6)
    pdb(root / f"{NAME}.top.pdb")
    trajectory(root / f"{NAME}.ca.traj.dcd", 0, 6, names=("CA",))
    pdb(root / f"{NAME}.ca.top.pdb", names=("CA",))
    trajectory(root / f"{NAME}.aa.diffusion.0.dcd", 0, 20)


def confrover(root: Path) -> None:
    for k in range(2):
        trajectory(root / NAME / f"{NAME}_sample{k}.xtc", 5 * k, 5)
        pdb(root / NAME / f"{NAME}_sample{k}.pdb", 5 * k)
        pdb(root / NAME / f"{NAME}_sample{k}_preview.pdb", 5 * k, 3)
        text(root / NAME / f"{NAME}_sample{k}.json")


def confrover_independent(root: Path) -> None:
    trajectory(root / NAME / f"{NAME}.xtc", 0, 4)
    pdb(root / NAME / f"{NAME}.pdb")
    pdb(root / NAME / f"{NAME}_preview.pdb", 0, 4)
    for k in range(4):
        pdb(root / NAME / "raw" / f"{NAME}_sample{k}.pdb", k)


def confrover_arrays(root: Path) -> None:
    atom37(root / f"{NAME}.npz", 0, 4)


def boltz(root: Path) -> None:
    results = root / "boltz_results_in"
    for name, sequence in TARGETS.items():
        folder = results / "predictions" / name
        for k in range(4):
            cif(folder / f"{name}_model_{k}.cif", k, 1, sequence)
            text(folder / f"confidence_{name}_model_{k}.json")
            array(folder / f"plddt_{name}_model_{k}.npz", plddt=np.zeros(9))
    array(results / "processed" / "structures" / f"{NAME}.npz", atoms=np.zeros(3), coords=np.zeros(3))
    cif(results / "processed" / "templates" / "1abc.cif", 20)


def protenix(root: Path) -> None:
    for seed in (101, 102):
        for k in range(3):
            cif(
                root / NAME / f"seed_{seed}" / "predictions" / f"{NAME}_seed_{seed}_sample_{k}.cif",
                k + 3 * (seed - 101),
            )
            text(root / NAME / f"seed_{seed}" / "predictions" / f"{NAME}_summary_confidence_sample_{k}.json")


def openfold3(root: Path) -> None:
    for k in range(3):
        cif(root / NAME / "seed_42" / f"{NAME}_seed_42_sample_{k}_model.cif", k)


def biokinema(root: Path) -> None:
    for run in (1, 2):
        for k in range(4):
            name = f"{NAME}_R{run}_0"
            cif(root / name / "predictions" / f"{name}_s0_f{k}.cif", 4 * run + k)


def chai(root: Path) -> None:
    for k in range(5):
        cif(root / NAME / f"pred.model_idx_{k}.cif", k)
        array(root / NAME / f"scores.model_idx_{k}.npz", aggregate_score=np.zeros(1))


def alphafold3(root: Path) -> None:
    folder = root / NAME.lower()
    for k in range(5):
        sample = f"seed-1_sample-{k}"
        cif(folder / sample / f"{NAME.lower()}_{sample}_model.cif", k)
    cif(folder / f"{NAME.lower()}_model.cif", 3)
    text(folder / f"{NAME.lower()}_data.json")
    array(folder / "seed-1_distogram" / "distogram.npz", distogram=np.zeros((9, 9)))


def alphafold_server(root: Path) -> None:
    inner = root.parent / "unzipped"
    for k in range(5):
        cif(inner / f"fold_{NAME.lower()}_model_{k}.cif", k)
        text(inner / f"fold_{NAME.lower()}_full_data_{k}.json")
        cif(inner / "templates" / f"fold_{NAME.lower()}_template_hit_{k}_chains_a.cif", 20 + k)
    zipped(root / f"fold_{NAME.lower()}.zip", inner)


def alphafold_server_all(root: Path) -> None:
    inner = root.parent / "unzipped"
    for name, sequence in TARGETS.items():
        for k in range(5):
            cif(inner / name.lower() / f"fold_{name.lower()}_model_{k}.cif", k, 1, sequence)
    zipped(root / "folds_2026_01_01.zip", inner)


def alphafold2(root: Path) -> None:
    for k in range(5):
        for suffix, write in (("pdb", pdb), ("cif", cif)):
            write(root / NAME / f"unrelaxed_model_{k + 1}_pred_0.{suffix}", k)
            write(root / NAME / f"relaxed_model_{k + 1}_pred_0.{suffix}", 20 + k)
            write(root / NAME / f"ranked_{k}.{suffix}", 24 - k)
    text(root / NAME / "ranking_debug.json")


def colabfold(root: Path) -> None:
    for name, sequence in TARGETS.items():
        for k in range(5):
            tag = f"rank_00{k + 1}_alphafold2_ptm_model_{k + 1}_seed_000"
            pdb(root / f"{name}_unrelaxed_{tag}.pdb", k, 1, sequence)
            pdb(root / f"{name}_unrelaxed_{tag}.r0.pdb", 30 + k, 1, sequence)
            text(root / f"{name}_scores_{tag}.json")
        pdb(root / f"{name}_relaxed_rank_001_alphafold2_ptm_model_1_seed_000.pdb", 20, 1, sequence)
        cif(root / f"{name}_env" / "templates_101" / "1abc.cif", 30, 1, sequence)
        text(root / f"{name}.a3m", f">{name}\n{sequence}\n")


def colabfold_zip(root: Path) -> None:
    inner = root.parent / "unzipped"
    colabfold(inner)
    for path in inner.rglob("*"):
        if path.is_file() and SECOND in path.as_posix():
            path.unlink()
    zipped(root / f"{NAME}.result.zip", inner)


def alphaflow(root: Path) -> None:
    for name, sequence in TARGETS.items():
        pdb(root / f"{name}.pdb", 0, 6, sequence)


def str2str(root: Path) -> None:
    for k, level in enumerate(("0.1", "0.2")):
        pdb(root / level / f"{NAME}.pdb", 3 * k, 3)
    pdb(root / "all_delta" / f"{NAME}.pdb", 0, 6)


def confdiff(root: Path) -> None:
    for k in range(6):
        pdb(root / NAME / f"{NAME}_sample{k}.pdb", k)
        pdb(root / NAME / f"{NAME}_sample{k}_traj.pdb", 20, 10)


def bioemu_benchmarks(root: Path) -> None:
    for name, sequence in TARGETS.items():
        pdb(root / f"{name}.pdb", 0, 1, sequence)
        trajectory(root / f"{name}.xtc", 0, 6, sequence)


LAYOUTS: dict[Callable[[Path], None], tuple[str, int, int, int]] = {
    # the layout's name, files of the first target, conformations in them, files left out
    bioemu1: ("BioEmu 1", 1, 5, 1),
    bioemu1_side_chains: ("BioEmu 1", 1, 5, 5),
    bioemu1_free_md: ("BioEmu 1", 3, 12, 0),
    bioemu2: ("BioEmu 2", 1, 6, 0),
    mdgen: ("XTC beside a topology", 1, 6, 0),
    mdgen_runs: ("XTC beside a topology", 3, 15, 0),
    asam: ("aSAM", 1, 6, 5),
    confrover: ("ConfRover", 2, 10, 2),
    confrover_independent: ("ConfRover", 1, 4, 5),
    confrover_arrays: ("ConfRover atom37", 1, 4, 0),
    boltz: ("Boltz", 4, 4, 6),
    protenix: ("Protenix", 6, 6, 0),
    openfold3: ("Protenix", 3, 3, 0),
    biokinema: ("BioKinema", 6, 6, 2),
    chai: ("Chai-1", 5, 5, 5),
    alphafold3: ("AlphaFold 3", 5, 5, 1),
    alphafold_server: ("AlphaFold Server", 5, 5, 5),
    alphafold_server_all: ("AlphaFold Server", 5, 5, 0),
    alphafold2: ("AlphaFold 2", 5, 5, 25),
    colabfold: ("ColabFold", 5, 5, 7),
    colabfold_zip: ("ColabFold", 5, 5, 7),
    alphaflow: ("one file with all conformations", 1, 6, 0),
    str2str: ("Str2Str", 1, 6, 2),
    confdiff: ("one file per conformation", 6, 6, 6),
    bioemu_benchmarks: ("XTC beside a topology", 1, 6, 0),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


def first(root: Path, targets: dict[str, str] | None = TARGETS) -> Source:
    source = find_sources(root, targets).sources[NAME]
    assert source.fault is None
    return source


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_a_layout_is_recognised(make: Callable[[Path], None], root: Path) -> None:
    make(root)
    layout, files, _, left_out = LAYOUTS[make]
    found = find_sources(root, TARGETS)
    source = found.sources[NAME]
    assert source.fault is None
    assert (source.layout, len(source.parts), len(source.left_out)) == (layout, files, left_out)
    assert not found.strangers
    assert all(one.reason for one in source.left_out)
    assert not set(source.files) & {one.path for one in source.left_out}


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_a_layout_is_read(make: Callable[[Path], None], root: Path) -> None:
    make(root)
    ensemble = read_source(first(root), NAME)
    assert (len(ensemble), ensemble.atoms.sequence) == (LAYOUTS[make][2], SEQUENCE)
    # Every conformation is one of those that were written, atom for atom, and none comes twice.
    rows = {(int(r), str(n)): k for k, (r, n) in enumerate(zip(WRITTEN.atoms.residue, WRITTEN.atoms.name, strict=True))}
    columns = [rows[int(r), str(n)] for r, n in zip(ensemble.atoms.residue, ensemble.atoms.name, strict=True)]
    away = np.abs(WRITTEN.positions[None, :, columns] - ensemble.positions[:, None]).max((2, 3))
    assert (away.min(1) < 0.02).all()
    assert len(set(away.argmin(1).tolist())) == len(ensemble)


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_files_name_their_targets_themselves(make: Callable[[Path], None], root: Path) -> None:
    make(root)
    named, known = find_sources(root).sources, find_sources(root, TARGETS).sources
    assert {name.lower() for name in named} == {name.lower() for name in known}
    assert sorted(map(str, (one.paths for one in named.values()))) == sorted(
        map(str, (one.paths for one in known.values()))
    )


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_the_folder_of_one_target_is_recognised_by_its_sequence(make: Callable[[Path], None], root: Path) -> None:
    # Every file and folder that bears the name of the target gets one that says nothing.
    make(root)
    for path in sorted(root.rglob("*"), reverse=True):
        if SECOND.lower() in path.name.lower() and path.is_file():
            path.unlink()
        elif NAME.lower() in path.name.lower() and path.suffix != ".zip":
            path.rename(path.with_name(path.name.replace(NAME, "x").replace(NAME.lower(), "x")))
    if not any(root.glob("*.zip")):
        assert len(first(root).parts) == LAYOUTS[make][1]


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_a_relative_path_gives_the_same(
    make: Callable[[Path], None], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(root)
    monkeypatch.chdir(root)
    here = find_sources(Path(), TARGETS).sources[NAME]
    assert [path.absolute() for path in here.paths] == list(first(root).paths)
    assert len(here.left_out) == LAYOUTS[make][3]
