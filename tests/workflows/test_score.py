"""One ensemble scored in memory, whatever library its conformations come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import pytest
from proteins import build, ensemble, reference

import ebabench
from ebabench import Ensemble, InputError, Metric, MetricSpec
from ebabench.io.structure_files import write_pdb

TARGET = build("GAIKHWSA")
WATER = 3


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


def solvated(conformations: Ensemble) -> mdtraj.Trajectory:
    """With a hydrogen on every C-alpha right behind it, a calcium ion and waters: as simulations are stored."""
    bare = conformations.to_mdtraj()
    topology, columns = mdtraj.Topology(), []
    for old in bare.topology.chains:
        chain = topology.add_chain()
        for old_residue in old.residues:
            residue = topology.add_residue(old_residue.name, chain)
            for atom in old_residue.atoms:
                topology.add_atom(atom.name, atom.element, residue)
                columns.append(atom.index)
                if atom.name == "CA":
                    topology.add_atom("HA", mdtraj.element.hydrogen, residue)
                    columns.append(atom.index)
    chain = topology.add_chain()
    topology.add_atom("CA", mdtraj.element.calcium, topology.add_residue("CA", chain))
    for _ in range(WATER):
        residue = topology.add_residue("HOH", chain)
        for name, element in (("O", "oxygen"), ("H1", "hydrogen"), ("H2", "hydrogen")):
            topology.add_atom(name, getattr(mdtraj.element, element), residue)
    rest = np.full((len(bare.xyz), topology.n_atoms - len(columns), 3), 9.0, np.float32)
    return mdtraj.Trajectory(np.concatenate([bare.xyz[:, columns], rest], 1), topology)


@pytest.fixture(scope="module")
def model() -> Ensemble:
    return ensemble(TARGET, 20)


@pytest.fixture(scope="module")
def replicas() -> list[Ensemble]:
    md = reference(TARGET, frames=60)
    return [Ensemble(TARGET.name, TARGET.atoms, np.asarray(replica)) for replica in md.replicas]


@pytest.fixture(scope="module")
def expected(model: Ensemble, replicas: list[Ensemble]) -> ebabench.Result:
    return ebabench.score(model, replicas)


def same(found: ebabench.Result, expected: ebabench.Result) -> None:
    """Up to the rounding of files: one frame more may cross a threshold."""
    assert found.values == pytest.approx(expected.values, rel=1e-2, abs=5e-2, nan_ok=True)
    assert found.floor == pytest.approx(expected.floor, rel=1e-2, abs=5e-2, nan_ok=True)


def test_trajectories_of_mdtraj_less_hydrogens_ions_and_waters(
    model: Ensemble, replicas: list[Ensemble], expected: ebabench.Result
) -> None:
    found = ebabench.score(solvated(model), [solvated(replica) for replica in replicas])
    same(found, expected)
    assert found.record.coverage == 1


def test_universes_and_groups_of_mdanalysis(
    model: Ensemble, replicas: list[Ensemble], expected: ebabench.Result, tmp_path: Path
) -> None:
    mdanalysis = pytest.importorskip("MDAnalysis")
    universes = []
    for k, one in enumerate((model, *replicas)):
        write_pdb(one, tmp_path / f"{k}.pdb")
        universes.append(mdanalysis.Universe(str(tmp_path / f"{k}.pdb")))
    universes[0].trajectory[7]
    found = ebabench.score(universes[0], [universe.select_atoms("protein") for universe in universes[1:]])
    same(found, expected)
    assert universes[0].trajectory.frame == 7


def test_paths(model: Ensemble, replicas: list[Ensemble], expected: ebabench.Result, tmp_path: Path) -> None:
    for k, one in enumerate((model, *replicas)):
        write_pdb(one, tmp_path / f"{k}.pdb")
    found = ebabench.score(tmp_path / "0.pdb", [str(tmp_path / f"{k}.pdb") for k in (1, 2, 3)])
    same(found, expected)
    assert found.target == "0"


def test_arrays_and_back(model: Ensemble) -> None:
    atoms = model.atoms
    back = Ensemble.from_arrays(model.positions, atoms.name, atoms.residue_name, atoms.residue, target="x")
    assert back.atoms.digest() == atoms.digest()
    np.testing.assert_array_equal(back.positions, model.positions)
    there = Ensemble.from_mdtraj(model.to_mdtraj(), target=model.target)
    assert there.atoms.digest() == atoms.digest()
    np.testing.assert_allclose(there.positions, model.positions, atol=1e-4)


def test_atoms_of_a_replica_in_another_order(
    model: Ensemble, replicas: list[Ensemble], expected: ebabench.Result
) -> None:
    """Each residue's atoms backwards."""
    order = np.lexsort((-np.arange(len(TARGET.atoms)), TARGET.atoms.residue))
    shuffled = Ensemble(TARGET.name, TARGET.atoms.take(order), replicas[1].positions[:, order])
    same(ebabench.score(model, [replicas[0], shuffled, replicas[2]]), expected)


def test_a_replica_that_lacks_atoms_is_refused(model: Ensemble, replicas: list[Ensemble]) -> None:
    index = np.arange(len(TARGET.atoms) - 1)
    short = Ensemble(TARGET.name, TARGET.atoms.take(index), replicas[1].positions[:, index])
    with pytest.raises(InputError) as refused:
        ebabench.score(model, [replicas[0], short])
    assert refused.value.code == "reference.atoms"
    assert refused.value.named["replica"] == 2


def test_one_replica_has_no_floor_and_says_so(model: Ensemble, replicas: list[Ensemble]) -> None:
    found = ebabench.score(model, replicas[0])
    assert found.floor == {}
    assert "one replica" in found.reasons["floor"]
    assert "floor" not in ebabench.score(model, replicas, metrics="rmsf_r").reasons


def test_only_what_is_asked_is_computed(
    model: Ensemble, replicas: list[Ensemble], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contacts need no principal component and no superposition of all of MD's atoms."""
    from ebabench.scoring import pair

    monkeypatch.setattr(pair, "principal_components", None)
    found = ebabench.score(model, replicas, metrics=["ca_clash_percent"], floor=False)
    assert set(found.values) == {"ca_clash_percent", "md_ca_clash_percent"}
    assert set(found.record.metric_versions) == {spec.key for spec in ebabench_family("validity").specs}


def ebabench_family(name: str) -> Metric:
    from ebabench.scoring.metric import METRICS

    return METRICS.load(name)


def test_families_and_keys(model: Ensemble, replicas: list[Ensemble], expected: ebabench.Result) -> None:
    found = ebabench.score(model, replicas, metrics=["collapse", "rmsf_r"])
    assert set(found.values) == {"effective_conformations", "md_effective_conformations", "rmsf_r"}
    assert found.values["rmsf_r"] == expected.values["rmsf_r"]
    with pytest.raises(InputError) as refused:
        ebabench.score(model, replicas, metrics=["rmsf_q"])
    assert refused.value.code == "unknown.metric"


def test_a_metric_of_ones_own(model: Ensemble, replicas: list[Ensemble]) -> None:
    """A closed form: the floor of a number that depends on the number of replicas left in the reference."""
    spec = MetricSpec("replicas", 1, "Replicas", "", "higher", "mean", "ca", "")
    counted = Metric("mine", (spec,), lambda pair: {"replicas": float(len(pair.reference.replicas))})
    found = ebabench.score(model, replicas, metrics=[counted, "rmsf_r"])
    assert (found.values["replicas"], found.floor["replicas"]) == (3, 2)
    changed = Metric("mine", (spec,), lambda pair: {"replicas": 7.0})
    assert ebabench.score(model, replicas, metrics=[changed]).floor == {"replicas": 7}, "nothing of it is cached"


def test_a_metric_with_the_key_of_another_is_refused(model: Ensemble, replicas: list[Ensemble]) -> None:
    spec = MetricSpec("rmsf_r", 1, "Mine", "", "higher", "mean", "ca", "")
    with pytest.raises(InputError) as refused:
        ebabench.score(model, replicas, metrics=[Metric("mine", (spec,), lambda pair: {"rmsf_r": 1.0})])
    assert refused.value.code == "metric.duplicate"


def test_energy_is_the_name_of_a_protocol(model: Ensemble, replicas: list[Ensemble]) -> None:
    with pytest.raises(InputError) as refused:
        ebabench.score(model, replicas, energy=True)  # type: ignore[arg-type]
    assert refused.value.code == "unknown.energy"


def test_profiles_are_per_atom_with_names(expected: ebabench.Result) -> None:
    profiles = expected.profiles
    assert len(profiles) == len(TARGET.atoms)
    per_residue = profiles.xs("CA", level="atom")
    assert per_residue.index.tolist() == [
        (k + 1, name) for k, name in enumerate(["GLY", "ALA", "ILE", "LYS", "HIS", "TRP", "SER", "ALA"])
    ]
    assert per_residue["rmsf"].notna().all()


def test_a_value_per_residue_stands_at_the_c_alpha(model: Ensemble, replicas: list[Ensemble]) -> None:
    spec = MetricSpec("place", 1, "Place", "", "higher", None, "ca", "")
    place = Metric("mine", (spec,), lambda pair: {"place": np.arange(len(pair.ca), dtype=float)})
    profiles = ebabench.score(model, replicas[0], metrics=place).profiles
    assert profiles["place"].dropna().tolist() == list(range(8))
    assert profiles.xs("CA", level="atom")["place"].notna().all()


def test_tables_and_text(expected: ebabench.Result) -> None:
    table = expected.to_frame()
    assert table.loc["rmsf_r", "value"] == expected.values["rmsf_r"]
    assert table.loc["energy_w1", "reason"] == expected.reasons["energy_w1"]
    text = repr(expected)
    assert "rmsf_r" in text
    assert expected.reasons["energy_w1"] in text


def test_nothing_is_printed(model: Ensemble, replicas: list[Ensemble], capfd: pytest.CaptureFixture[str]) -> None:
    ebabench.score(model, replicas)
    assert capfd.readouterr() == ("", "")


def test_something_else_is_refused(replicas: list[Ensemble]) -> None:
    with pytest.raises(InputError) as refused:
        ebabench.score(np.zeros((3, 8, 3)), replicas)
    assert refused.value.code == "ensemble.kind"
    assert "Ensemble.from_arrays" in str(refused.value)
    with pytest.raises(InputError) as refused:
        ebabench.score(replicas[0], [])
    assert refused.value.code == "reference.empty"


@pytest.mark.parametrize(
    ("names", "residue", "residues", "code"),
    [
        (["O", "H1"], "HOH", [1, 1], "structure.no-protein"),
        (["CA", "CA"], "ALA", [1], "ensemble.shape"),
        (["CA"], "ALA", [1], "ensemble.shape"),
    ],
)
def test_arrays_that_are_no_protein(names: list[str], residue: str, residues: list[int], code: str) -> None:
    with pytest.raises(InputError) as refused:
        Ensemble.from_arrays(np.ones((2, 2, 3)), names, [residue] * len(names), residues)
    assert refused.value.code == code


def test_arrays_as_other_programs_hold_them(model: Ensemble) -> None:
    """Names as bytes, padded and in small letters; positions as a tensor with a gradient, or masked in no place."""
    torch = pytest.importorskip("torch")
    atoms = model.atoms
    names, residue_names = (np.char.add(" ", np.char.lower(column)) for column in (atoms.name, atoms.residue_name))
    tensor = torch.tensor(model.positions, requires_grad=True)
    for positions in (tensor, np.ma.masked_invalid(model.positions)):
        back = Ensemble.from_arrays(positions, names.astype("S"), residue_names.astype("S"), atoms.residue)
        assert back.atoms.digest() == atoms.digest()
        np.testing.assert_array_equal(back.positions, model.positions)
    weights = torch.arange(1.0, len(model) + 1, requires_grad=True)
    weighted = Ensemble.from_arrays(model.positions, atoms.name, atoms.residue_name, atoms.residue, weights=weights)
    np.testing.assert_allclose(weighted.weights, weights.detach() / weights.detach().sum())
    with pytest.raises(InputError, match="float32"):
        Ensemble.from_arrays(tensor.to(torch.bfloat16), atoms.name, atoms.residue_name, atoms.residue)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda positions: np.ma.masked_greater(positions, positions.mean()), "mask"),
        (lambda positions: positions.astype(complex), "no real numbers"),
        (lambda positions: [positions[0], positions[1][:-1]], "no array of numbers"),
    ],
)
def test_positions_that_are_no_numbers_are_refused(model: Ensemble, change: Any, told: str) -> None:
    atoms = model.atoms
    with pytest.raises(InputError, match=told) as refused:
        Ensemble.from_arrays(change(model.positions), atoms.name, atoms.residue_name, atoms.residue)
    assert refused.value.code == "ensemble.shape"


def test_two_chains_are_refused_and_one_can_be_named(model: Ensemble) -> None:
    one = model.to_mdtraj()
    both = one.stack(one)
    with pytest.raises(InputError) as refused:
        Ensemble.from_mdtraj(both)
    assert refused.value.code == "structure.several-chains"


def test_a_molecule_that_the_box_cuts_is_made_whole(model: Ensemble) -> None:
    """Wrapping atoms into the box is undone, up to where the molecule lies."""
    trajectory = model.to_mdtraj()
    side = 1.2 * np.ptp(trajectory.xyz, axis=1).max()
    wrapped = mdtraj.Trajectory(
        trajectory.xyz % side, trajectory.topology, unitcell_lengths=[[side] * 3] * 20, unitcell_angles=[[90] * 3] * 20
    )
    found = Ensemble.from_mdtraj(wrapped).positions
    np.testing.assert_allclose(
        found - found.mean(1, keepdims=True), model.positions - model.positions.mean(1, keepdims=True), atol=1e-3
    )


def test_the_topology_of_another_trajectory_is_refused(replicas: list[Ensemble]) -> None:
    """Columns in another order than the topology's atoms: bonds have no length of a bond."""
    noise = np.random.default_rng(0).normal(scale=0.02, size=(20, *TARGET.native.shape))
    trajectory = Ensemble("near", TARGET.atoms, (TARGET.native + noise).astype(np.float32)).to_mdtraj()
    backwards = np.lexsort((-np.arange(len(TARGET.atoms)), TARGET.atoms.residue))
    trajectory.xyz = trajectory.xyz[:, backwards]
    with pytest.raises(InputError) as refused:
        ebabench.score(trajectory, replicas)
    assert refused.value.code == "topology.other-atoms"
