"""Scoring against what a user would use instead, in the same run: the ratios are the result."""

import time

import mdtraj
import numpy as np
import pytest
from proteins import bundle, wobble
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import PCA

from ebabench.io.structure_files import read_ensemble, write_pdb
from ebabench.metrics import FAMILIES
from ebabench.metrics.contacts import contact_frequency
from ebabench.metrics.kernels.assignment import least_mean_cost
from ebabench.metrics.kernels.surface import BACKBONE, exposed
from ebabench.scoring.metric import METRICS
from ebabench.scoring.score import score_target
from ebabench.structures import Ensemble, Reference
from ebabench.structures.geometry import principal_components, superpose

SEQUENCE = "GSLMKNFVIVDLLASMKVLFWEKLLAHIVDAFSLGKLIVTRQYPEWKHLA"


def chain(residues):
    return bundle((SEQUENCE * (residues // len(SEQUENCE) + 1))[:residues], max(residues // 20, 2))


@pytest.fixture(scope="module")
def sampled():
    """A chain of 264 residues, 100 frames, and the same for mdtraj (nanometres)."""
    target = chain(264)
    frames = wobble(target, 100, 1, 1.0, 0.3).astype(np.float32)
    topology = mdtraj.Topology()
    one = topology.add_chain()
    start = np.flatnonzero(np.diff(target.atoms.residue, prepend=-1))
    residues = [topology.add_residue(str(name), one) for name in target.atoms.residue_name[start]]
    for name, residue in zip(target.atoms.name, target.atoms.residue, strict=True):
        topology.add_atom(str(name), mdtraj.element.Element.getBySymbol(str(name)[0]), residues[residue])
    return target, frames, mdtraj.Trajectory(frames / 10, topology)


def seconds(work, at_least=0.5):
    """The fastest of repeated calls, by the processor's clock: other programs hardly count."""
    times = []
    while sum(times) < at_least:
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def report(benchmark, capsys, what, ours, theirs):
    """Times both alike, prints the ratio, and has the benchmark keep it."""
    ours()
    ratio = round(seconds(theirs) / seconds(ours), 1)
    benchmark(ours)
    benchmark.extra_info["ratio"] = ratio
    with capsys.disabled():
        print(f"\n{what}: {ratio} times as fast")


def test_exposure(benchmark, capsys, sampled):
    target, frames, trajectory = sampled
    side = ~np.isin(target.atoms.name, BACKBONE)

    def theirs():
        areas = mdtraj.shrake_rupley(trajectory[:20], probe_radius=0.28, n_sphere_points=960)
        return np.add.reduceat(areas * side, np.flatnonzero(np.diff(target.atoms.residue, prepend=-1)), axis=1) > 0.02

    report(benchmark, capsys, "exposed side chains, mdtraj", lambda: exposed(target.atoms, frames[:20]), theirs)


def test_superposition(benchmark, capsys, sampled):
    target, frames, trajectory = sampled
    report(
        benchmark, capsys, "superposition, mdtraj",
        lambda: superpose(frames, target.native), lambda: trajectory[:].superpose(trajectory, 0),
    )  # fmt: skip


def test_principal_components(benchmark, capsys, sampled):
    target, frames, _ = sampled
    many = np.concatenate([frames[:, target.atoms.select("CA")]] * 10)
    many = many + np.random.default_rng(0).normal(0, 0.1, many.shape).astype(np.float32)
    report(
        benchmark, capsys, "two principal components, scikit-learn (full)",
        lambda: principal_components(many, 2),
        lambda: PCA(svd_solver="full").fit(many.reshape(len(many), -1)),
    )  # fmt: skip


def test_contacts(benchmark, capsys, sampled):
    target, frames, trajectory = sampled
    ca = target.atoms.select("CA")
    pairs = np.array(np.triu_indices(len(ca), 1)).T

    def theirs():
        return (mdtraj.compute_distances(trajectory, ca[pairs]) < 0.8).mean(0)

    report(benchmark, capsys, "contacts, mdtraj", lambda: contact_frequency(frames[:, ca]), theirs)


def test_assignment(benchmark, capsys):
    a, b = np.random.default_rng(0).normal(size=(2, 250, 2))
    cost = ((a[:, None] - b) ** 2).sum(2)
    report(
        benchmark, capsys, "assignment of 250 points, SciPy",
        lambda: least_mean_cost(cost), lambda: cost[linear_sum_assignment(cost)].mean(),  # noqa: PLW0108
    )  # fmt: skip


def test_reading(benchmark, capsys, sampled, tmp_path):
    target, frames, _ = sampled
    path = tmp_path / "t.pdb"
    write_pdb(Ensemble("t", target.atoms, frames), path)
    report(
        benchmark, capsys, "a PDB file of 100 models, mdtraj",
        lambda: read_ensemble(path, "t"), lambda: mdtraj.load_pdb(str(path)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("residues", "frames", "samples"),
    [(66, 1001, 250), (132, 1001, 250), (264, 1001, 250), (132, 2002, 250), (132, 1001, 125), (132, 1001, 500)],
)
def test_one_target(benchmark, residues, frames, samples):
    target = chain(residues)
    reference = Reference(target, tuple(wobble(target, frames, k, 1.0, 0.3) for k in (1, 2, 3)), "bench")
    model = Ensemble(target.name, target.atoms, wobble(target, samples, 9, 1.3, 0.3))
    families = [METRICS.load(name) for name in FAMILIES]
    benchmark.extra_info |= {"residues": residues, "frames": 3 * frames, "samples": samples}
    benchmark.pedantic(score_target, (model, reference, families), {"with_floor": False}, rounds=2, warmup_rounds=1)
