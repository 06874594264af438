"""BioEmu in its own environment. Its embeddings and, in places, its checkpoint are stand-ins."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from exercise import TARGET, Exercise, call, check_contract, exercise, run

from ebabench.errors import RunError
from ebabench.generators.workers import read_samples

pytestmark = pytest.mark.external

# A checkpoint and its configuration as microsoft/bioemu publishes them, of the worker's small network.
CHECKPOINT = """
import torch, yaml
folder = sys.argv[1]
network, _ = worker.random_network(0)
torch.save(network.state_dict(), folder + "/checkpoint.ckpt")
small = dict(dim_model=32, dim_pair=16, dim_hidden=64, num_layers=2, num_heads=4, num_buckets=16)
tables = dict(num_sigma=50, num_omega=200, l_max=200)
with open(folder + "/config.yaml", "w") as file:
    yaml.safe_dump({
        "score_model": {"_target_": "bioemu.models.DiGConditionalScoreModel", **small},
        "sdes": {
            "pos": {"_target_": "bioemu.sde_lib.CosineVPSDE"},
            "node_orientations": {"_target_": "bioemu.so3_sde.DiGSO3SDE", **tables},
        },
    }, file)
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Exercise:
    return exercise("bioemu", tmp_path_factory.mktemp("bioemu"))


def test_it_samples(done: Exercise) -> None:
    check_contract(done)
    assert done.versions["bioemu"] == "1.4.1"


def test_it_gives_backbone_and_beta_carbon(done: Exercise) -> None:
    expected = [{"N", "CA", "C", "O"} | ({"CB"} if letter != "G" else set()) for letter in TARGET.sequence]
    assert done.names == expected


def test_frames_are_left_handed_amino_acids_in_angstrom(done: Exercise) -> None:
    """Whatever the network says, a residue is a rigid frame of the right size and hand."""
    atoms, positions = done.first.atoms, done.first.positions
    n, ca, c = (positions[:, atoms.select(name)] for name in ("N", "CA", "C"))
    np.testing.assert_allclose(np.linalg.norm(ca - n, axis=-1), 1.46, atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(c - ca, axis=-1), 1.52, atol=0.02)
    beta = atoms.select("CB")
    owner = atoms.residue[beta]
    triple = np.cross(n[:, owner] - ca[:, owner], c[:, owner] - ca[:, owner])
    assert ((triple * (positions[:, beta] - ca[:, owner])).sum(-1) > 0).all()


def test_without_embeddings_it_fails_at_once(done: Exercise, tmp_path: Path) -> None:
    """The package itself would ask the alignment server for ever."""
    digest = hashlib.sha256(TARGET.sequence.encode()).hexdigest()
    with pytest.raises(RunError, match=f"no alignment of synthetic: put it at .*{digest}.a3m"):
        call(done.card, {}, tmp_path / "call")


def test_unphysical_conformations_are_counted_not_kept(done: Exercise, tmp_path: Path) -> None:
    """A published checkpoint's road: loaded, sampled, filtered. Nothing that this one gives is physical."""
    run(done.card, CHECKPOINT, tmp_path)
    request = {
        "checkpoints": {"model": str(tmp_path / "checkpoint.ckpt"), "config": str(tmp_path / "config.yaml")},
        "settings": dict(done.card.sampling) | {"max_t": 0.7, "most_draws": 2},
        "cache": str(tmp_path / "cache"),
    }
    embeddings = tmp_path / "cache" / "embeddings-a3m"
    embeddings.mkdir(parents=True)
    digest, length = hashlib.sha256(TARGET.sequence.encode()).hexdigest(), len(TARGET.sequence)
    np.save(embeddings / f"{digest}_single.npy", np.zeros((length, 384), np.float32))
    np.save(embeddings / f"{digest}_pair.npy", np.zeros((length, length, 128), np.float32))
    with pytest.raises(RunError, match="0 of 4 conformations are physical; 2 were asked for"):
        call(done.card, request, tmp_path / "call")


def test_side_chains_come_of_hpacker(done: Exercise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BioEmu hands every backbone to another program; this one gives the native structure back."""
    packer = tmp_path / "python"
    packer.write_text('#!/bin/sh\ncp native.pdb "$3"\n')
    packer.chmod(0o755)
    request = {"random_weights": True, "settings": dict(done.card.sampling) | {"side_chains": True}}
    monkeypatch.delenv("HPACKER_PYTHONBIN", raising=False)
    with pytest.raises(RunError, match="set HPACKER_PYTHONBIN"):
        call(done.card, request, tmp_path / "without")
    monkeypatch.setenv("HPACKER_PYTHONBIN", str(packer))
    call(done.card, request, tmp_path / "with")
    ensemble = read_samples(tmp_path / "with" / "samples.npz", TARGET)
    np.testing.assert_allclose(ensemble.positions, [TARGET.native, TARGET.native], atol=2e-3)
