"""Boltz-2 in its own environment: its featuriser and network, with random weights and components made by rdkit."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from exercise import TARGET, Exercise, call, check_contract, exercise, heavy, run

from ebabench.errors import RunError
from ebabench.generators import environments
from ebabench.generators.cards import load_card

pytestmark = pytest.mark.external

# A checkpoint as boltz-community/boltz-2 publishes it, of a narrow network as deep as the real one, and an archive of
# the components that the worker makes for random weights.
CHECKPOINT = """
import os, tarfile, torch
from dataclasses import asdict
from boltz.main import MSAModuleArgs, PairformerArgsV2
from boltz.model.models.boltz2 import Boltz2
from omegaconf import OmegaConf
from rdkit import Chem
os.chdir(sys.argv[1])
small = dict(worker.random_network().hparams)
small |= {"pairformer_args": asdict(PairformerArgsV2()), "msa_args": asdict(MSAModuleArgs(use_paired_feature=True))}
training = {"max_lr": 1e-3, "weight_decay": 0.0, "diffusion_multiplicity": 1, "recycling_steps": 0}
small |= {"training_args": OmegaConf.create(training)}
network = Boltz2(**small)
whole = {"state_dict": network.state_dict(), "hyper_parameters": small, "pytorch-lightning_version": "2.5.0"}
torch.save(whole, "model.ckpt")
Chem.SetDefaultPickleProperties(Chem.PropertyPickleOptions.AllProps)
with tarfile.open("mols.tar", "w") as archive:
    archive.add(worker.random_molecules(), "mols")
"""


# What the network is told of the experiment, residue by residue: 0 is MD, 1 is X-ray diffraction.
METHOD = """
import os, torch
from rdkit import Chem
os.chdir(sys.argv[1])
Chem.SetDefaultPickleProperties(Chem.PropertyPickleOptions.AllProps)
target = {"name": "one", "sequence": sys.argv[2]}
request = {"target": target, "settings": {"msa": "none", "method": sys.argv[3]}}
said = worker.features(request, worker.random_molecules(), torch.device("cpu"))[1]["method_feature"]
open("said", "w").write(str(sorted(set(said[0, : len(sys.argv[2])].tolist()))))
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Exercise:
    return exercise("boltz", tmp_path_factory.mktemp("boltz"))


def test_it_samples(done: Exercise) -> None:
    check_contract(done)
    assert done.versions["boltz"] == "2.2.1"


def test_it_gives_every_heavy_atom(done: Exercise) -> None:
    assert [names - {"OXT"} for names in done.names] == heavy(TARGET)


def test_a_checkpoint_is_loaded(done: Exercise, tmp_path: Path) -> None:
    run(done.card, CHECKPOINT, tmp_path)
    request = {
        "checkpoints": {"model": str(tmp_path / "model.ckpt"), "molecules": str(tmp_path / "mols.tar")},
        "settings": dict(done.card.sampling) | {"steps": 5, "recycles": 0},
    }
    answer = call(done.card, request, tmp_path / "call")
    assert (answer.samples, answer.random_weights) == (2, False)
    assert np.isfinite(np.load(tmp_path / "call" / "samples.npz")["positions"]).all()


@pytest.mark.parametrize(("name", "kind"), [("boltz", "[1]"), ("boltz-md", "[0]")])
def test_the_network_is_told_what_to_predict(done: Exercise, tmp_path: Path, name: str, kind: str) -> None:
    card = load_card(name)
    assert environments.python(card) == environments.python(done.card)
    run(card, METHOD, tmp_path, TARGET.sequence, card.sampling["method"])
    assert (tmp_path / "said").read_text() == kind


def test_an_alignment_is_read_or_missed(done: Exercise, tmp_path: Path) -> None:
    settings = dict(done.card.sampling) | {"steps": 5, "recycles": 0, "msa": "a3m"}
    request = {"random_weights": True, "settings": settings, "cache": str(tmp_path)}
    digest = hashlib.sha256(TARGET.sequence.encode()).hexdigest()
    with pytest.raises(RunError, match=f"no alignment of synthetic: put it at .*{digest}.a3m"):
        call(done.card, request, tmp_path / "without")
    (tmp_path / "msa").mkdir()
    rows = (TARGET.sequence, "GYDPaETGT-G", "-YNPETGTWG")
    (tmp_path / "msa" / f"{digest}.a3m").write_text("".join(f">{k}\n{row}\n" for k, row in enumerate(rows)))
    assert call(done.card, request, tmp_path / "with").samples == 2
    (made,) = (tmp_path / "with" / "boltz" / "processed" / "msa").glob("*.npz")
    assert len(np.load(made)["sequences"]) == len(rows)
