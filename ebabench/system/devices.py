"""Which accelerators there are."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

from ebabench.errors import InputError
from ebabench.system.processor import processor

_DEVICE = re.compile(r"cpu|mps|cuda(?::(\d+))?")


def parse_devices(text: str) -> list[str]:
    """Return the devices in a text like ``cuda:0,cuda:1``.

    Raises:
        InputError: One of them is no device (``device.name``).

    Example:
        >>> parse_devices("cuda:0,cuda:1")
        ['cuda:0', 'cuda:1']
    """
    found = text.split(",")
    for one in found:
        if not _DEVICE.fullmatch(one):
            raise InputError(
                f"--device {text}: {one!r} is none of cpu, cuda, cuda:0, cuda:1, ..., mps",
                code="device.name",
                device=one,
            )
    return found


def check_device(device: str, torch_here: bool) -> None:
    """Raise InputError (``device.missing``) for a device that is not there.

    Args:
        device: A device's name.
        torch_here: Whether this process's PyTorch uses the device. Where a worker does, the driver is asked instead.
    """
    match = _DEVICE.fullmatch(device)
    if device == "cpu" or match is None:
        return
    if device == "mps":
        import torch

        there = torch.backends.mps.is_available()
    elif torch_here:
        import torch

        there = torch.cuda.device_count() > int(match[1] or 0)
    else:
        there = _driver_sees_gpu()
    if not there:
        why = "; PyTorch here was built without it, or there is no GPU" if torch_here and device != "mps" else ""
        raise InputError(f"--device {device}: there is none{why}", code="device.missing", device=device)


def device_name(device: str) -> str:
    """Return the name of a device: that of its GPU, or of the processor. Without a name, the device as it was given.

    Args:
        device: A device's name, as "cpu" or "cuda:1".
    """
    if device == "cpu":
        return processor()["processor"]
    match = _DEVICE.fullmatch(device)
    number = int((match and match[1]) or 0)
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name(number))
    try:
        driver, name, handle = ctypes.CDLL("libcuda.so.1"), ctypes.create_string_buffer(128), ctypes.c_int(0)
        found = driver.cuInit(0) == 0 and driver.cuDeviceGet(ctypes.byref(handle), number) == 0
        if found and driver.cuDeviceGetName(name, 128, handle) == 0:
            return name.value.decode(errors="replace")
    except (OSError, AttributeError):
        pass
    return device


def _driver_sees_gpu() -> bool:
    """Whether the driver of NVIDIA or AMD sees a GPU."""
    if Path("/dev/kfd").exists():
        return True
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False
