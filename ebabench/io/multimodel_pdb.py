"""Coordinates of PDB files whose models differ in nothing else: what programs write, and read here in one sweep.

Whatever else a file may hold is left to a parser of the whole format: no line is interpreted here that is not, but for
its coordinates, the very line of the first model.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

_X = 30  # the first of 24 columns with three numbers of the form -123.456
_ATOM = re.compile(rb"^(?:ATOM  |HETATM).*$", re.MULTILINE)
_ANY = re.compile(rb"^(?:ATOM|HETATM|MODEL)", re.MULTILINE)
_HEAD = re.compile(rb"MODEL[ \d]*\r?\n")  # a longer line is two that lost what parts them: an atom would be lost
_WORTH = ((0, 10**6), (1, 10**5), (2, 10**4), (3, 1000), (5, 100), (6, 10), (7, 1))  # thousandths
_Bytes = npt.NDArray[np.uint8]


def same_but_for_coordinates(data: bytes) -> tuple[bytes, npt.NDArray[np.float64]] | None:
    """Splits a file into its first model, as a file of its own, and all models' positions.

    Returns:
        The file up to the end of the first model; and positions [models, N, 3] of its ATOM and HETATM lines in their
        order, equal to the decimal numbers to the last bit. None if there is a single model, if models differ by more
        than their numbers and coordinates (in any byte), if a coordinate is not written with three decimals right up
        to the end of its eight columns, or if there are atoms outside of models.
    """
    first = re.search(rb"^MODEL .*\n", data, re.MULTILINE)
    second = re.compile(rb"^MODEL .*\n", re.MULTILINE).search(data, first.end()) if first else None
    if first is None or second is None or not _HEAD.fullmatch(first[0]) or _ANY.search(data, 0, first.start()):
        return None
    start, period = first.start(), second.start() - first.start()
    # After the last model there may be other things than between two of them.
    length = data.rfind(b"\nENDMDL", start, second.start()) + len(b"\nENDMDL") - start
    count = (len(data) - start - length) // period + 1
    if length < len(first[0]) or _ANY.search(data, start + (count - 1) * period + length):
        return None
    atoms = np.array([match.start() for match in _ATOM.finditer(data, start, start + length)], np.int64) - start
    ends = np.array([match.end() for match in _ATOM.finditer(data, start, start + length)], np.int64) - start
    if not len(atoms) or (ends - atoms).min() < _X + 24:
        return None
    # The eight columns of all numbers, one column after the other.
    columns = (atoms[:, None] + np.arange(_X, _X + 24)).reshape(-1, 8).T.copy()
    free = np.zeros(period, np.uint8)
    free[len(b"MODEL ") : len(first[0]) - 1] = 0xFF
    free[columns] = 0xFF
    text, found = np.frombuffer(data, np.uint8), np.empty((count, 3 * len(atoms)))
    pattern = text[start : start + period] | free
    for model in range(count):
        block = text[start + model * period :][: period if model < count - 1 else length]
        same = np.array_equal(block | free[: len(block)], pattern[: len(block)])
        if not same or not _numbers(block[columns], found[model]):
            return None
    return data[: start + length] + b"\nEND\n", found.reshape(count, -1, 3)


def _numbers(fields: _Bytes, found: npt.NDArray[np.float64]) -> bool:
    """Writes the numbers in the columns of fields [8, K] to ``found`` [K]. Returns False if one is not -123.456."""
    digits = fields - np.uint8(ord("0"))
    is_digit = digits < 10
    minus, space = fields[:3] == ord("-"), fields[:3] == ord(" ")
    if not (is_digit[3].all() and (fields[4] == ord(".")).all() and is_digit[5:].all()):
        return False
    # Spaces, then a sign or none, then digits.
    follows = space[:2] | is_digit[1:3]
    if not ((space | minus | is_digit[:3]).all() and follows.all()):
        return False
    digits[:3][~is_digit[:3]] = 0
    thousandths = np.zeros(fields.shape[1], np.int32)
    for column, worth in _WORTH:
        thousandths += digits[column] * np.int32(worth)
    np.divide(np.where(minus.any(0), -thousandths, thousandths), 1000, out=found)
    return True
