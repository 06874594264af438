"""The targets of a suite, whether or not there is MD of them."""

from __future__ import annotations

import numpy as np

from ebabench.datasets.references import References
from ebabench.datasets.simulation import EXTENDED, build_chain
from ebabench.datasets.suites import Suite, check_sequence
from ebabench.structures import Target


def target_of(suite: Suite, read: References, name: str) -> Target:
    """Return a target: that of its reference, or, of a simulated suite without it, the one built from the sequence.

    No trajectory is read.

    Args:
        suite: The suite.
        read: References of some of its targets.
        name: The target.

    Raises:
        InputError: The reference is missing (``reference.missing``, ``references.missing``) and the suite is not
            simulated, the reference cannot be read or is of another sequence, or as ``built_target``.
    """
    if suite.simulation is not None and not read.has(name):
        return built_target(suite, name)
    target = read.target(name)
    check_sequence(suite, read.root, target)
    return target


def built_target(suite: Suite, name: str) -> Target:
    """Return a target of a simulated suite from its sequence alone.

    Its atoms are those of the reference that ``ebabench simulate`` makes. Its native structure is the chain in the
    torsions that the suite starts from, extended where these are drawn at random; a reference has a frame of MD there.

    Args:
        suite: A suite with ``[simulation]``.
        name: The target.

    Raises:
        InputError: The suite has no such target, or its sequence is not one of amino acids (``suite.sequence``).

    Example:
        >>> from ebabench.datasets.suites import load_suite
        >>> suite = load_suite("peptides-v1")
        >>> built_target(suite, "KLED").atoms.digest() == suite.reference("KLED").target.atoms.digest()
        True
    """
    first = suite.simulations(name)[0]
    torsions = [EXTENDED] * len(first.sequence) if isinstance(first.start, str) else list(first.start)
    atoms, positions = build_chain(first.sequence, torsions)
    return Target(name, first.sequence, atoms, positions.astype(np.float32))
