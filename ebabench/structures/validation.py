"""What an ensemble must be before it is worth scoring: finite, in angstrom, whole, left-handed. Copies are counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.structures.arrays import IndexArray, Positions
from ebabench.structures.ensembles import Atoms, Ensemble, Reference
from ebabench.structures.geometry import chiral_centers, dihedral, signed_volume, superpose, torsions
from ebabench.structures.matching import match
from ebabench.structures.nomenclature import canonical

_BOND_CA = 3.8  # angstrom, between consecutive C-alphas
_MIRRORED = 0.9  # share of inverted centers
_CHANCE = 1e-6
_TURN = np.radians([30.0, 75.0])  # dihedrals of C-alphas in right-handed helices; left-handed polyproline is at -110
_FEWEST_TURNS = 8  # that tell the hand of a frame, where others are mirrored
_CHANCE_OF_TURNS, _RARE = 1e-4, 0.01  # of one frame; the share of frames above which they are not there by chance
_SEVERAL_STEPS = 3  # fewer may be short by chance
_FAR = 1e5  # angstrom: farther out, numbers of single precision are 0.008 apart, and XTC has no more integers
_JUMP = 15.0  # no strained chain, only a box, is this far apart
_REACH = 15.0  # the farthest side-chain atom is 8 from its C-alpha
_SAME_PLACE, _MOST = 0.01, 0.5  # angstrom, the rounding of XTC; share of frames: chance does it in a few
_BLOCK = 256  # frames
_TWIN_RMSD = 0.002  # what rounding in a file and superposition leave between copies


def validate(
    who: str, atoms: Atoms, place: IndexArray, positions: Positions, numbers: IndexArray | None = None
) -> None:
    """Raises InputError, naming the frame, for what is no ensemble of this chain.

    Args:
        who: how the message names the ensemble.
        atoms: the atoms in the columns of ``positions``.
        place: for every residue of ``atoms`` its index along the full chain.
        positions: [S, N, 3], supposedly in angstrom.
        numbers: [S], by what number the message names each frame; from 1 by default.

    Raises:
        InputError: ``ensemble.not-finite``, ``ensemble.far``, ``ensemble.padded`` (atoms in one place),
            ``ensemble.unit`` (nanometres), ``ensemble.broken`` (a chain or a residue that is torn).
    """

    def number(frame: int) -> int:
        return frame + 1 if numbers is None else int(numbers[frame])

    def refused(thing: str, frame: int, told: str) -> InputError:
        return InputError(f"{who}: {told}", code=f"ensemble.{thing}", frame=number(frame))

    if not np.isfinite(positions).all():
        frame = int(np.flatnonzero(~np.isfinite(positions).all((1, 2)))[0])
        raise refused("not-finite", frame, f"NaN or infinite positions in frame {number(frame)}; leave the frame out")
    if max(-float(positions.min()), float(positions.max())) > _FAR:
        frame = int(np.flatnonzero((np.abs(positions) > _FAR).any((1, 2)))[0])
        raise refused(
            "far",
            frame,
            f"positions in frame {number(frame)} are {np.abs(positions[frame]).max():.3g} angstrom from the origin, "
            "where single precision is too coarse; center the molecule (gmx trjconv -center)",
        )
    if np.count_nonzero(positions) <= positions.size - 6 and ((zero := (positions == 0).all(2).sum(1)) > 1).any():
        frame = int(np.flatnonzero(zero > 1)[0])
        raise refused(
            "padded",
            frame,
            f"{zero[frame]} atoms lie at the origin in frame {number(frame)}: missing atoms were padded; leave "
            "them out of the file",
        )
    ca = atoms.select("CA")
    step = np.linalg.norm(np.diff(positions[:, ca], axis=1), axis=2)[:, np.diff(place[atoms.residue[ca]]) == 1]
    if not step.size:
        return
    per_frame = np.median(step, axis=1)
    typical = float(np.median(per_frame))
    short = np.abs(per_frame - _BOND_CA / 10) < 0.1
    if abs(typical - _BOND_CA / 10) < 0.1 or (short.any() and step.shape[1] >= _SEVERAL_STEPS):
        frame = int(short.argmax())
        raise refused(
            "unit",
            frame,
            f"consecutive C-alphas are {per_frame[frame]:.2f} apart in frame {number(frame)}: these are nanometres, "
            "not angstrom: multiply the coordinates by 10",
        )
    if not 1 < typical < _JUMP:
        raise InputError(
            f"{who}: consecutive C-alphas are {typical:.3g} apart: not a chain in angstrom", code="ensemble.unit"
        )
    if step.shape[1] >= _SEVERAL_STEPS and per_frame.min() < 1:
        frame = int(per_frame.argmin())
        raise refused(
            "broken",
            frame,
            f"consecutive C-alphas are {per_frame[frame]:.2g} angstrom apart in frame {number(frame)}: atoms lie in "
            "one place; leave the frame out",
        )
    if step.max() > _JUMP:
        frame, bond = divmod(int(step.argmax()), step.shape[1])
        told = (
            f"consecutive C-alphas {step.max():.1f} angstrom apart in frame {number(frame)} (pair {bond + 1}): a jump "
            "through a periodic boundary, or a broken chain; make molecules whole (gmx trjconv -pbc whole)"
        )
        if len(step) > 1 and step[:, bond].min() > _JUMP:
            told += (
                f". They are at least {step[:, bond].min():.1f} apart in all {len(step)} frames: if residues are "
                "missing between them, add these to the model and to its reference, or keep one side of the gap only"
            )
        raise refused("broken", frame, told)
    own = np.full(len(place), -1)
    own[atoms.residue[ca]] = ca
    away = np.take(positions, own[atoms.residue], axis=1)
    np.subtract(positions, away, out=away)
    reach = np.sqrt(np.einsum("snx,snx->sn", away, away))
    reach[:, own[atoms.residue] < 0] = 0
    if reach.max() > _REACH:
        frame, atom = divmod(int(reach.argmax()), reach.shape[1])
        raise refused(
            "broken",
            frame,
            f"atom {atoms.name[atom]} of residue {place[atoms.residue[atom]] + 1} lies {reach.max():.1f} angstrom from "
            f"its C-alpha in frame {number(frame)}: a jump through a periodic boundary, or a broken residue; make "
            "molecules whole (gmx trjconv -pbc whole)",
        )
    within = np.diff(atoms.residue) == 0
    apart = np.compress(within, np.diff(positions, axis=1), axis=1)
    same = (np.einsum("snx,snx->sn", apart, apart) < _SAME_PLACE**2).mean(0) > _MOST
    if same.any():
        atom = int(np.flatnonzero(within)[same][0])
        raise InputError(
            f"{who}: atoms {atoms.name[atom]} and {atoms.name[atom + 1]} of residue {place[atoms.residue[atom]] + 1} "
            "lie in one place: missing atoms were padded; leave them out of the file",
            code="ensemble.padded",
        )


def validate_chirality(
    who: str, atoms: Atoms, positions: Positions, native: Positions, numbers: IndexArray | None = None
) -> None:
    """Raise InputError if frames are mirror images: by their stereocenters, or by their fold where there are none.

    A single inverted center is a model's error, which metrics count. A frame is mirrored if nine in ten of its centers
    are inverted, and there are more such frames than centers that invert independently explain (binomial, p < 1e-6).
    If nine in ten centers of the ensemble are inverted, all frames with more than half of theirs are mirrored.

    Without centers, a frame of 12 or more C-alphas is mirrored if its mirror image is by far the nearer to the native
    structure, or nine in ten of its turns are left-handed: the phi of residues but glycine, or helical dihedrals of
    C-alphas. If there are such frames, all that look rather mirrored are.

    Args:
        who: how the message names the ensemble.
        atoms: [N], the atoms.
        positions: [S, N, 3].
        native: [N, 3], the native structure.
        numbers: [S], by what number the message names each frame; from 1 by default.

    Raises:
        InputError: ``ensemble.mirrored``, which names the first frame.
    """
    from scipy.special import bdtrc

    centers = chiral_centers(atoms)
    if len(centers):
        inverted = signed_volume(positions, centers) < 0
        share, least = float(inverted.mean()), int(np.ceil(_MIRRORED * len(centers)))
        mirrored = inverted.sum(1) >= least
        # So many frames by chance, if every center inverted by itself?
        one = bdtrc(least - 1, len(centers), share)
        chance = bdtrc(mirrored.sum() - 1, len(positions), one) if mirrored.any() else 1.0
        mirrored &= chance < _CHANCE
        if share > _MIRRORED:
            mirrored = inverted.mean(1) > 0.5
    elif len(atoms.select("CA")) >= 12:
        mirrored = _mirrored_folds(atoms, positions, native)
    else:
        return
    if mirrored.any():
        frame = int(mirrored.argmax()) + 1 if numbers is None else int(numbers[mirrored.argmax()])
        remedy = "mirror them back if the generator flips them"
        if mirrored.mean() < 0.5:
            remedy = f"leave them out, or {remedy}"
        raise InputError(
            f"{who}: {mirrored.sum()} of {len(positions)} frames are mirrored structures, of D-amino acids; the first "
            f"is frame {frame}; {remedy}",
            code="ensemble.mirrored",
            frame=frame,
        )


def _mirrored_folds(atoms: Atoms, positions: Positions, native: Positions) -> npt.NDArray[np.bool_]:
    """[S], True for frames that are mirrored by their fold: those that look so, if some do beyond doubt."""
    from scipy.special import bdtrc

    centered = _centered(native)
    as_is = np.sqrt(((superpose(positions, native) - centered) ** 2).sum(2).mean(1))
    mirror = np.sqrt(((superpose(-positions, native) - centered) ** 2).sum(2).mean(1))
    left, right = _turns(atoms, positions)
    turns = left + right
    # So many turns of one hand by chance, if each had its own? Strands have C-alpha turns of both hands.
    chance = np.where(left >= _MIRRORED * turns, bdtrc(left - 1, turns, 0.5), 1.0)
    often = (chance < _CHANCE_OF_TURNS).mean() > _RARE
    by_turns = chance < (_CHANCE_OF_TURNS if often else _CHANCE)
    surely = (mirror < 0.5 * as_is) | by_turns
    clear = (turns >= _FEWEST_TURNS) & (np.abs(left - right) >= 0.5 * turns)
    mirrored: npt.NDArray[np.bool_] = surely | (np.where(clear, left > right, mirror < as_is) & surely.any())
    return mirrored


def _turns(atoms: Atoms, positions: Positions) -> tuple[IndexArray, IndexArray]:
    """The numbers [S] of left-handed and of right-handed turns: phi but of glycine, or helical turns of C-alphas."""
    kind = np.full(int(atoms.residue.max()) + 1, "", atoms.residue_name.dtype)
    kind[atoms.residue] = atoms.residue_name
    residues, angles = torsions(atoms, np.arange(len(kind)), positions)
    if len(residues):
        phi = angles[:, kind[residues] != "GLY", 0]
        return (phi > 0).sum(1), (phi < 0).sum(1)
    ca = atoms.select("CA")
    turn = dihedral(positions, np.stack([ca[k : len(ca) - 3 + k] for k in range(4)], axis=1))
    low, high = _TURN
    return ((turn > -high) & (turn < -low)).sum(1), ((turn > low) & (turn < high)).sum(1)


def validated_blocks(
    reference: Reference, chosen: Sequence[IndexArray] | None = None
) -> Iterator[tuple[int, int, Positions]]:
    """Yield the frames of a reference's replicas in blocks that are validated, handedness included.

    Args:
        reference: The replicas.
        chosen: Per replica, the indices of the frames that are wanted; by default all.

    Yields:
        The index of the replica, how many of its wanted frames came before, and the block [F, N, 3].

    Raises:
        InputError: As ``validate`` and ``validate_chirality``. It names target, replica, file and frame.
    """
    atoms, place = canonical(reference.target.atoms), np.arange(len(reference.target.sequence))
    has_centers = len(chiral_centers(atoms)) > 0
    for k, (number, replica) in enumerate(zip(reference.numbers, reference.replicas, strict=True)):
        who = f"the reference of {reference.target.name}: replica {number}"
        if reference.files:
            who += f" ({reference.files[k]})"
        wanted = np.arange(len(replica)) if chosen is None else chosen[k]
        for first in range(0, len(wanted), _BLOCK):
            rows = wanted[first : first + _BLOCK]
            block = np.asarray(replica[rows], np.float32)
            validate(who, atoms, place, block, rows + 1)
            if has_centers:
                validate_chirality(who, atoms, block, reference.target.native, rows + 1)
            yield k, first, block


def validate_replicas(reference: Reference) -> None:
    """Raise InputError if a replica does not move, or if two are the same trajectory, which are no independent samples.

    First, middle and last frames are read. Replicas may begin with the same frame.

    Raises:
        InputError: ``reference.static``; ``reference.copies``, also where one is the beginning of the other.
    """
    who, numbered = f"the reference of {reference.target.name}", zip(reference.numbers, reference.replicas, strict=True)
    last = {}
    for number, replica in numbered:
        first, *others = np.asarray(replica[[0, len(replica) // 2, len(replica) - 1]])
        last[number] = others[-1]
        if all(np.array_equal(first, frame) for frame in others):
            raise InputError(
                f"{who}: replica {number} does not move: its first, middle and last frames are the same; leave it out",
                code="reference.static",
                target=reference.target.name,
            )
    pairs = combinations(zip(reference.numbers, reference.replicas, strict=True), 2)
    for (one, first_replica), (other, second_replica) in pairs:
        shorter, longer = sorted((first_replica, second_replica), key=len)
        number = one if shorter is first_replica else other
        if np.array_equal(last[number], np.asarray(longer[[len(shorter) - 1]])[0]):
            raise InputError(
                f"{who}: replicas {one} and {other} are the same trajectory, which gives a noise floor of nothing; "
                "leave one out",
                code="reference.copies",
                target=reference.target.name,
            )


def validate_held_out(ensemble: Ensemble, reference: Reference) -> None:
    """Raise InputError if an ensemble names replicas as held out that are not where its conformations come from.

    A replica that is held out is not scored against: a model that names one would choose its reference. Only
    conformations that are frames of these replicas have a reason to leave them out.

    Args:
        ensemble: The ensemble.
        reference: The reference of its target, with all replicas.

    Raises:
        InputError: ``ensemble.held-out``.
    """
    if not ensemble.held_out:
        return
    pairs = match(ensemble.atoms, reference.target.atoms)
    positions = np.asarray(ensemble.positions[:, pairs.model], np.float32)
    strange = np.ones(len(positions), bool)
    for number, replica in zip(reference.numbers, reference.replicas, strict=True):
        for first in range(0, len(replica), _BLOCK) if number in ensemble.held_out else ():
            rows = np.arange(first, min(first + _BLOCK, len(replica)))
            strange[_same_frames(positions, np.asarray(replica[rows], np.float32)[:, pairs.reference])] = False
    if strange.any():
        named = ", ".join(map(str, ensemble.held_out))
        raise InputError(
            f"{ensemble.target}: held_out names replicas {named} of the reference, and {strange.sum()} conformations "
            "are no frames of them; only MD as a model names replicas there: leave held_out empty",
            code="ensemble.held-out",
            target=ensemble.target,
        )


def _same_frames(positions: Positions, frames: Positions) -> list[int]:
    """Return which of the ``positions`` [S, N, 3] are among ``frames`` [F, N, 3], but for rounding."""
    from scipy.spatial import cKDTree

    frames = frames[np.isfinite(frames).all((1, 2))]  # others are refused elsewhere
    ends = [np.concatenate([one[:, 0], one[:, -1]], axis=1) for one in (positions, frames)]
    near = cKDTree(ends[0]).query_ball_point(ends[1], _SAME_PLACE)
    pairs = [(one, frame) for frame, found in enumerate(near) for one in found]
    return [one for one, frame in pairs if np.abs(positions[one] - frames[frame]).max() < _SAME_PLACE]


def validate_register(who: str, atoms: Atoms, place: IndexArray, positions: Positions, native: Positions) -> None:
    """Raises InputError if the positions fit the native structure much better one residue along the chain."""
    ca = atoms.select("CA")
    if len(ca) < 20 or (np.diff(place[atoms.residue[ca]]) != 1).any():
        return
    error = {}
    for shift in (-1, 0, 1):
        misfit = 0.0
        for apart in (2, 3, 4, 6, 8):
            model = np.linalg.norm(positions[:, ca[apart:]] - positions[:, ca[:-apart]], axis=2).mean(0)
            true = np.linalg.norm(native[ca[apart:]] - native[ca[:-apart]], axis=1)
            misfit += float(np.abs(model[1 + shift : len(model) - 1 + shift] - true[1:-1]).mean())
        error[shift] = misfit / 5
    best = min(error, key=lambda shift: error[shift])
    if error[best] < 0.5 * error[0] and error[0] > 0.3:
        raise InputError(f"{who}: the positions are shifted by {best:+d} residue against the sequence")


def count_duplicates(superposed: Positions, native: Positions) -> int:
    """Return how many frames are copies of another frame, whatever their orientation: frames less distinct frames.

    Superposed on one structure, copies lie equally far from it: only neighbours in that distance are compared.

    Args:
        superposed: [S, N, 3], every frame superposed on ``native``.
        native: [N, 3].
    """
    away = superposed - native
    away = np.sqrt(np.einsum("snx,snx->s", away, away) / len(native))
    order, apart = np.argsort(away, kind="stable"), 1
    while apart < len(order):
        near = np.flatnonzero(away[order[apart:]] - away[order[:-apart]] < _TWIN_RMSD)
        if not len(near):
            break
        one, other = order[near], order[near + apart]
        rmsd = np.sqrt(((superposed[one] - superposed[other]) ** 2).sum(2).mean(1))
        copies = near[rmsd < _TWIN_RMSD] + apart
        # Without the copies, other frames become neighbours.
        order, apart = (np.delete(order, copies), 1) if len(copies) else (order, apart + 1)
    return len(superposed) - len(order)


def _centered(positions: Positions) -> Positions:
    centered: Positions = positions - positions.mean(0)
    return centered
