"""Protenix's network, of its package's first line (0.x) or second (1.x, 2.x): built, loaded, and asked for embeddings.

``load`` comes first: the package reads its environment variables and the files of components while it is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import ccd_files

# A small network of the same architecture, for random weights.
_SMALL = {
    "c_s": 32, "c_z": 16, "c_token": 32, "c_s_inputs": 97, "c_atom": 16, "c_atompair": 8, "n_blocks": 1,
    "model.msa_module.n_blocks": 1, "model.msa_module.c_m": 16, "model.pairformer.n_heads": 4,
    "model.confidence_head.n_blocks": 1, "model.diffusion_module.c_token": 32,
    "model.diffusion_module.transformer.n_blocks": 1, "model.diffusion_module.transformer.n_heads": 4,
    "model.diffusion_module.atom_encoder.n_blocks": 1, "model.diffusion_module.atom_decoder.n_blocks": 1,
}  # fmt: skip
# What the diffusion module reads of the features; whatever else it wants follows from these.
_READ = (
    "asym_id", "residue_index", "entity_id", "token_index", "sym_id", "atom_to_token_idx",
    "ref_pos", "ref_charge", "ref_mask", "ref_element", "ref_atom_name_chars", "ref_space_uid",
)  # fmt: skip
# The fused kernels need packages and GPUs of their own; these give the same numbers.
_PLAIN = {
    "triangle_multiplicative": "torch",
    "triangle_attention": "torch",
    "use_memory_efficient_kernel": False,
    "use_deepspeed_evo_attention": False,
}
FIRST_LINE = "model_v0.2.0"


class UnsuitableError(Exception):
    """What was asked for does not fit the package that is installed, or the checkpoint does not fit the network."""


@dataclass(frozen=True)
class Embedded:
    """What the trunk gives for one sequence, from which any number of conformations is drawn.

    ``features``: those of the package that the diffusion module reads; ``single_inputs`` [L, c], ``single`` [L, c] and
    ``pair`` [L, L, c]: the embeddings.
    """

    features: Mapping[str, Any]
    single_inputs: Any
    single: Any
    pair: Any


def load(cache: Path) -> None:
    """Makes the package importable, its files to be looked for in ``cache``."""
    os.environ["LAYERNORM_TYPE"] = "torch"  # the default compiles a CUDA extension
    os.environ["PROTENIX_ROOT_DIR"] = str(cache)
    from biotite.structure.io.pdbx import convert
    from configs.configs_data import data_configs

    # The first line edits this list while it is imported, for reading mmCIF; biotite has had it only to 1.0.
    convert.PDBX_COVALENT_TYPES = getattr(convert, "PDBX_COVALENT_TYPES", [])

    data_configs["ccd_components_file"] = str(cache / "common" / ccd_files.CIF)
    data_configs["ccd_components_rdkit_mol_file"] = str(cache / "common" / ccd_files.MOLECULES)


def second_line() -> bool:
    """Whether the package is of the line that moved its modules (from 1.0 on)."""
    from protenix.model import protenix

    return hasattr(protenix, "update_input_feature_dict")


def build(architecture: str, small: bool, blank: bool = False) -> Any:
    """The network with fresh weights, or ``blank``, for weights that are read afterwards.

    Raises UnsuitableError for an architecture that the package does not know.
    """
    from configs.configs_base import configs as base
    from configs.configs_data import data_configs
    from configs.configs_inference import inference_configs
    from protenix.model.protenix import Protenix

    if second_line():
        from configs.configs_model_type import model_configs
        from protenix.config.config import parse_configs
    else:
        from protenix.config import parse_configs

        model_configs = {FIRST_LINE: {}}
    if architecture not in model_configs:
        raise UnsuitableError(f"no architecture {architecture!r} in this package; it has {', '.join(model_configs)}")
    tree = _merged({**base, "data": data_configs, **inference_configs}, model_configs[architecture])
    arguments = " ".join(f"--{name} {value}" for name, value in _SMALL.items()) if small else ""
    configs = parse_configs(tree, fill_required_with_null=True, arg_str=arguments)
    for name, value in _PLAIN.items():
        if name in configs:
            configs[name] = value
    with _undrawn() if blank else contextlib.nullcontext():
        return Protenix(configs).eval()


@contextlib.contextmanager
def _undrawn() -> Iterator[None]:
    """Initial weights are not drawn: of 368 million of them scipy makes a minute or more."""
    import numpy as np
    from scipy.stats import truncnorm
    from torch.nn import init

    changes = (
        mock.patch.object(truncnorm, "rvs", lambda *_, size, **__: np.zeros(size)),
        mock.patch.object(truncnorm, "std", return_value=1.0),
        mock.patch.object(init, "kaiming_uniform_", lambda tensor, *_, **__: tensor),
    )
    with contextlib.ExitStack() as stack:
        for change in changes:
            stack.enter_context(change)
        yield


def _merged(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    nested = {k: _merged(tree[k], v) for k, v in changes.items() if isinstance(v, Mapping) and k in tree}
    return {**tree, **changes, **nested}


def read_weights(network: Any, path: Path) -> None:
    """Loads a checkpoint: Protenix's ``{"model": weights}``, or the safetensors that fine-tuning writes.

    Raises UnsuitableError unless it holds exactly the network's parameters, in their shapes.
    """
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        weights = load_file(path)
    else:
        # Beside the weights a checkpoint of a trainer holds its optimiser, which is not read into memory.
        weights = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["model"]
    weights = {name.removeprefix("module."): value for name, value in weights.items()}
    own = network.state_dict()
    faults = {
        "missing": [name for name in own if name not in weights],
        "unknown": [name for name in weights if name not in own],
        "of another shape": [n for n in own if n in weights and own[n].shape != weights[n].shape],
    }
    if any(faults.values()):
        text = "; ".join(f"{len(names)} {kind} ({names[0]}, ...)" for kind, names in faults.items() if names)
        raise UnsuitableError(
            f"{path} is of another architecture: of its {len(weights)} parameters and {len(own)}, {text}"
        )
    network.load_state_dict(weights)


def featurise(name: str, sequence: str, alignment: Path | None, cache: Path) -> tuple[dict[str, Any], Any]:
    """The package's features of a single chain without templates, and its heavy atoms.

    Without an ``alignment`` (A3M) the sequence stands alone. ``cache`` is what ``load`` was told.
    """
    ccd_files.components(cache / "common")
    import torch
    from protenix.data.utils import data_type_transform, make_dummy_feature

    if second_line():
        from protenix.data.inference.json_to_feature import SampleDictToFeatures
    else:
        from protenix.data.json_to_feature import SampleDictToFeatures
    chain: dict[str, Any] = {"sequence": sequence, "count": 1}
    sample = {"name": name, "sequences": [{"proteinChain": chain}]}
    features, atoms, tokens = SampleDictToFeatures(sample).get_feature_dict()
    features["distogram_rep_atom_mask"] = torch.as_tensor(atoms.distogram_rep_atom_mask).long()
    absent = ["template"]
    if alignment is None:
        absent.append("msa")
    else:
        features |= _aligned(sample["sequences"], chain, alignment, atoms, tokens)
    return data_type_transform(make_dummy_feature(features, absent)), atoms


def _aligned(sequences: Any, chain: dict[str, Any], alignment: Path, atoms: Any, tokens: Any) -> dict[str, Any]:
    from protenix.utils.torch_utils import dict_to_tensor

    if second_line():
        from protenix.data.msa.msa_featurizer import InferenceMSAFeaturizer

        chain["unpairedMsaPath"] = str(alignment)
        made = InferenceMSAFeaturizer.make_msa_feature(sequences, atoms, msa_pair_as_unpair=True, use_rna_msa=False)
    else:
        from protenix.data.data_pipeline import DataPipeline
        from protenix.data.msa_featurizer import InferenceMSAFeaturizer

        folder = Path("alignment").resolve()
        folder.mkdir()
        (folder / "non_pairing.a3m").symlink_to(alignment)
        chain["msa"] = {"precomputed_msa_dir": str(folder), "pairing_db": "uniref100"}
        entities = DataPipeline.get_label_entity_id_to_asym_id_int(atoms)
        made = InferenceMSAFeaturizer.make_msa_feature(sequences, entities, tokens, atoms)
    features: dict[str, Any] = dict_to_tensor(made)
    return features


def alignment_of(sequence: str, cache: Path) -> Path:
    """Where the alignment of a sequence is looked for."""
    return cache / "msa" / f"{hashlib.sha256(sequence.encode()).hexdigest()}.a3m"


def embed(network: Any, features: Mapping[str, Any], cycles: int, device: str) -> Embedded:
    """Runs the trunk, once: ``cycles`` passes, the package's dropout at inference off."""
    import torch

    own = {name: value.to(device) if hasattr(value, "to") else value for name, value in features.items()}
    mixed = torch.autocast("cuda", torch.bfloat16) if device.startswith("cuda") else contextlib.nullcontext()
    with torch.no_grad(), mixed:
        embeddings = network.get_pairformer_output(
            _derived(network, own), N_cycle=cycles, chunk_size=network.configs.infer_setting.chunk_size
        )
    return Embedded({name: own[name] for name in _READ}, *(embedding.float() for embedding in embeddings))


def condition(network: Any, embedded: Embedded) -> dict[str, Any]:
    """Arguments of the diffusion module, but for coordinates and noise level."""
    arguments = {
        "input_feature_dict": _derived(network, embedded.features),
        "s_inputs": embedded.single_inputs,
        "s_trunk": embedded.single,
        "z_trunk": embedded.pair,
    }
    return arguments | ({"pair_z": None, "p_lm": None, "c_l": None} if second_line() else {})


def _derived(network: Any, features: Mapping[str, Any]) -> dict[str, Any]:
    """With relative positions and the pairs of neighbouring atoms, which the second line wants made beforehand."""
    if not second_line():
        return dict(features)
    from protenix.model.protenix import update_input_feature_dict

    return update_input_feature_dict(network.relative_position_encoding.generate_relp(dict(features)))
