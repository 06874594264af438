"""A GPU, where there is one, gives the conformations of the processor."""

import numpy as np
import pytest
import torch

import ebabench


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("batch_size", [3, 16])
def test_conformations_of_a_gpu_are_those_of_a_processor_in_batches_of_any_size(batch_size: int) -> None:
    """To the rounding of single precision: sums are formed in another order."""
    target = ebabench.load_suite("peptides-v1").reference("KLED").target
    cpu = ebabench.load_model("eba").sample(target, samples=16, seed=7)
    gpu = ebabench.load_model("eba", device="cuda", batch_size=batch_size).sample(target, samples=16, seed=7)
    np.testing.assert_allclose(gpu.positions, cpu.positions, atol=1e-3)
