"""The packed coordinates of XTC frames, unpacked with every index checked.

The format is that of Green, van der Spoel and van Drunen, GROMACS 1995 (xdrfile, libxdrf). Coordinates are integers, in
units of 1/precision, packed into as few bits as their range needs; atoms near the one before are packed as small
differences. A frame tells the least and the greatest integer along each axis. A damaged frame is told by values out of
that range, a range that is not filled, and bits that are left over or missing: the format has no checksum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ebabench.system.compilation import cached_njit

_MAGIC_INTS = np.array(
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 10, 12, 16, 20, 25, 32, 40, 50, 64, 80, 101, 128, 161, 203, 256, 322, 406, 512,
        645, 812, 1024, 1290, 1625, 2048, 2580, 3250, 4096, 5060, 6501, 8192, 10321, 13003, 16384, 20642, 26007, 32768,
        41285, 52015, 65536, 82570, 104031, 131072, 165140, 208063, 262144, 330280, 416127, 524287, 660561, 832255,
        1048576, 1321122, 1664510, 2097152, 2642245, 3329021, 4194304, 5284491, 6658042, 8388607, 10568983, 13316085,
        16777216,
    ],
    np.int64,
)  # fmt: skip
_FIRST = 9  # the first that is not zero
_LAST = len(_MAGIC_INTS) - 1
_PLAIN_ATOMS = 9  # up to so many are not packed
# Integers per nanometre: below, they are more than an angstrom apart; above, single precision has no such digits.
_COARSEST, _FINEST = 10.0, 1e8
_HEAD, _PLAIN_HEAD = 92, 56  # bytes before the coordinates


@cached_njit(error_model="numpy", nogil=True)
def unpack(data: Any, starts: Any, n_atoms: Any, slot: Any, found: Any) -> Any:
    """Unpack frames into ``found``.

    Args:
        data: uint8 [B], bytes of the file, and eight more.
        starts: int64 [F + 1], where each frame begins in ``data``, and where the last one ends.
        n_atoms: atoms of every frame.
        slot: int64 [n_atoms], the row of ``found`` that an atom is written to, or -1.
        found: float32 [F, K, 3], in the unit of the file.

    Returns:
        The index of the first damaged frame, or -1.
    """
    for frame in range(len(starts) - 1):
        one = data[starts[frame] :]
        if n_atoms <= _PLAIN_ATOMS:
            good = _plain(one, n_atoms, slot, found[frame])
        else:
            good = _packed(one, starts[frame + 1] - starts[frame], n_atoms, slot, found[frame])
        if not good:
            return frame
    return -1


@cached_njit(error_model="numpy", nogil=True)
def _word(data: Any, at: Any) -> Any:
    """The four bytes at ``at``, big-endian, as an unsigned integer."""
    value = np.uint64(0)
    for k in range(4):
        value = (value << np.uint64(8)) | np.uint64(data[at + k])
    return value


@cached_njit(error_model="numpy", nogil=True)
def _signed(data: Any, at: Any) -> Any:
    value = np.int64(_word(data, at))
    return value - (np.int64(1) << 32) if value >= np.int64(1) << 31 else value


@cached_njit(error_model="numpy", nogil=True)
def _float(data: Any, at: Any) -> Any:
    return np.uint32(_word(data, at)).view(np.float32)


@cached_njit(error_model="numpy", nogil=True)
def _plain(data: Any, n_atoms: Any, slot: Any, found: Any) -> Any:
    for atom in range(n_atoms):
        if slot[atom] >= 0:
            for axis in range(3):
                found[slot[atom], axis] = _float(data, _PLAIN_HEAD + 12 * atom + 4 * axis)
    return True


@cached_njit(error_model="numpy", nogil=True)
def _bits_of(value: Any) -> Any:
    bits = 0
    while value > 0:
        bits += 1
        value >>= 1
    return bits


@cached_njit(error_model="numpy", nogil=True)
def _window(data: Any, at: Any) -> Any:
    """The 64 bits from bit ``at`` on, the most significant one first; nine bytes must be there."""
    first, shift = at >> 3, np.uint64(at & 7)
    value = np.uint64(0)
    for k in range(8):
        value = (value << np.uint64(8)) | np.uint64(data[first + k])
    return (value << shift) | (np.uint64(data[first + 8]) >> (np.uint64(8) - shift))


@cached_njit(error_model="numpy", nogil=True)
def _read(data: Any, at: Any, bits: Any) -> Any:
    """``bits`` (1 to 32) bits at bit ``at``, the most significant one first."""
    return np.int64(_window(data, at) >> np.uint64(64 - bits))


@cached_njit(error_model="numpy", nogil=True)
def _divide(value: Any, size: Any) -> Any:
    """Quotient and remainder; by a floating-point product where that is exact after one correction."""
    if value < np.uint64(1) << np.uint64(52):
        quotient = np.uint64(np.float64(value) * (1.0 / np.float64(size)))
        rest = np.int64(value) - np.int64(quotient) * size
        if rest < 0:
            return quotient - np.uint64(1), rest + size
        if rest >= size:
            return quotient + np.uint64(1), rest - size
        return quotient, rest
    quotient = value // np.uint64(size)
    return quotient, np.int64(value - quotient * np.uint64(size))


@cached_njit(error_model="numpy", nogil=True)
def _three(data: Any, at: Any, bits: Any, s0: Any, s1: Any, s2: Any) -> Any:
    """Three integers below ``s0``, ``s1``, ``s2`` from one number of ``bits`` bits; the first is -1 if it is not."""
    if bits <= 64:
        # The number's bytes come in the order of rising significance, each with its most significant bit first.
        window = _window(data, at)
        whole, left = bits >> 3, bits & 7
        value = np.uint64(0)
        for k in range(whole):
            value |= ((window >> np.uint64(56 - 8 * k)) & np.uint64(0xFF)) << np.uint64(8 * k)
        if left:
            last = (window >> np.uint64(64 - bits)) & ((np.uint64(1) << np.uint64(left)) - np.uint64(1))
            value |= last << np.uint64(8 * whole)
        value, c = _divide(value, s2)
        value, b = _divide(value, s1)
        return (np.int64(value) if value < np.uint64(s0) else np.int64(-1)), b, c
    digits = np.zeros(9, np.int64)  # of base 256, the least significant first
    count = 0
    left = bits
    while left > 0:
        width = min(left, 8)
        digits[count] = _read(data, at, width)
        at += width
        left -= width
        count += 1
    rest = np.zeros(2, np.int64)
    for k in range(2):
        size = s2 if k == 0 else s1
        number = np.int64(0)
        for j in range(count - 1, -1, -1):
            number = (number << 8) | digits[j]
            digits[j] = number // size
            number %= size
        rest[k] = number
    first = np.int64(0)
    for j in range(count - 1, -1, -1):
        first = (first << 8) | digits[j]
        if first >= s0:
            return np.int64(-1), np.int64(0), np.int64(0)
    return first, rest[1], rest[0]


@cached_njit(error_model="numpy", nogil=True)
def _packed(data: Any, limit: Any, n_atoms: Any, slot: Any, found: Any) -> Any:  # noqa: PLR0911, PLR0912, PLR0915
    # In a loop: numba compiles a function anew for every constant that it is called with.
    header = np.empty(9, np.int64)
    for k in range(len(header)):
        header[k] = _signed(data, _PLAIN_HEAD + 4 * k)
    precision = np.uint32(header[0]).view(np.float32)
    if not _COARSEST <= precision <= _FINEST:
        return False
    inverse = np.float32(1.0 / np.float64(precision))
    least = header[1:4]
    size = np.empty(3, np.int64)
    for axis in range(3):
        size[axis] = header[4 + axis] - least[axis] + 1
        if size[axis] < 1 or size[axis] > 0x7FFFFFFF:
            return False
    small, length = header[7], header[8]
    if small < _FIRST or small > _LAST or length < 0 or _HEAD + length > limit:
        return False
    end = 8 * (_HEAD + length)
    wide = max(size[0], size[1], size[2]) > 0xFFFFFF
    bits = 0
    if wide:
        width0, width1, width2 = _bits_of(size[0]), _bits_of(size[1]), _bits_of(size[2])
    else:
        width0 = width1 = width2 = 0
        low = size[0] * size[1]
        high = (low >> 32) * size[2]
        low = (low & 0xFFFFFFFF) * size[2]
        high += low >> 32
        bits = 32 + _bits_of(high) if high > 0 else _bits_of(low & 0xFFFFFFFF)
    lower = _MAGIC_INTS[max(_FIRST, small - 1)] // 2
    middle = _MAGIC_INTS[small] // 2
    span = _MAGIC_INTS[small]
    lowest = np.full(3, np.int64(1) << 40)
    highest = np.zeros(3, np.int64)
    previous = np.empty(3, np.int64)
    here = np.empty(3, np.int64)
    at = 8 * _HEAD
    atom = 0
    run = 0
    while atom < n_atoms:
        # A coordinate of its own, then whether the number of neighbours that follow changes.
        need = width0 + width1 + width2 if wide else bits
        if at + need + 1 > end:
            return False
        if wide:
            here[0] = _read(data, at, width0)
            here[1] = _read(data, at + width0, width1)
            here[2] = _read(data, at + width0 + width1, width2)
        else:
            here[0], here[1], here[2] = _three(data, at, bits, size[0], size[1], size[2])
        at += need
        if here[0] < 0:
            return False
        change = 0
        flag = _read(data, at, 1)
        at += 1
        if flag == 1:
            if at + 5 > end:
                return False
            run = _read(data, at, 5)
            at += 5
            change = run % 3
            run -= change
            change -= 1
        count = run // 3
        if atom + 1 + count > n_atoms or at + count * small > end:
            return False
        for axis in range(3):
            previous[axis] = here[axis]
        for k in range(count):
            here[0], here[1], here[2] = _three(data, at, small, span, span, span)
            at += small
            if here[0] < 0:
                return False
            for axis in range(3):
                here[axis] += previous[axis] - middle
            # The first neighbour comes before the coordinate of its own.
            for axis in range(3):
                if k == 0:
                    here[axis], previous[axis] = previous[axis], here[axis]
            if k == 0:
                _write(previous, least, inverse, slot[atom], found, lowest, highest)
                atom += 1
            else:
                for axis in range(3):
                    previous[axis] = here[axis]
            _write(here, least, inverse, slot[atom], found, lowest, highest)
            atom += 1
        if count == 0:
            _write(here, least, inverse, slot[atom], found, lowest, highest)
            atom += 1
        small += change
        if small < _FIRST or small > _LAST:
            return False
        if change < 0:
            middle = lower
            lower = _MAGIC_INTS[small - 1] // 2 if small > _FIRST else 0
        elif change > 0:
            lower = middle
            middle = _MAGIC_INTS[small] // 2
        span = _MAGIC_INTS[small]
    for axis in range(3):
        if lowest[axis] != 0 or highest[axis] != size[axis] - 1:
            return False
    return end - at < 8


@cached_njit(error_model="numpy", nogil=True)
def _write(here: Any, least: Any, inverse: Any, slot: Any, found: Any, lowest: Any, highest: Any) -> Any:
    for axis in range(3):
        lowest[axis] = min(lowest[axis], here[axis])
        highest[axis] = max(highest[axis], here[axis])
        if slot >= 0:
            found[slot, axis] = np.float32(here[axis] + least[axis]) * inverse
