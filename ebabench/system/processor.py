"""The processor that makes the numbers."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

# Sets that decide the width of vectors and whether a library fuses multiplications and additions.
_TOLD = ("avx", "fma", "avx2", "avx512f", "avx512bf16", "amx-bf16", "neon", "sve")


@cache
def processor() -> dict[str, str]:
    """Return the name of the processor, its microarchitecture and its instruction sets for vectors.

    Example:
        >>> sorted(processor())
        ['instruction_sets', 'microarchitecture', 'processor']
    """
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return {
        "processor": _name(),
        "microarchitecture": binding.get_host_cpu_name(),
        "instruction_sets": " ".join(one for one in _TOLD if features.get(one)),
    }


def _name() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
