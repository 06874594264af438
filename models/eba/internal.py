"""Convert between Cartesian and internal coordinates, vectorised over conformations and residues.

A conformation is, a residue, sine and cosine of phi, psi, omega and chi1 to chi4 (14 channels) and the displacement of
its backbone frame from the native's: three translations and the first two columns of the rotation, both in the native
residue's frame (9 channels). All are Euclidean and invariant under rotation and translation. Two placements rebuild the
atoms: "chain" grows the backbone from torsions, so that every bond is right by construction (peptides), "frames" puts
each residue at its displaced native frame, so that errors do not add up along the chain (proteins).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ebabench.models.eba.zmatrix import (
    AMINO_ACIDS,
    DRIVER,
    OMEGA,
    PARENTS,
    PHI,
    PSI,
    SLOTS,
    TORSION,
    TORSIONS,
    WIDTH,
    residue_types,
    slots_of,
)
from ebabench.structures import Atoms

TORSION_CHANNELS = 2 * len(TORSIONS)
FRAME_CHANNELS = 9
CHANNELS = TORSION_CHANNELS + FRAME_CHANNELS
TRANSLATION_SCALE = 3.0  # angstrom a unit: brings native-relative displacements near the spread of the torsions
N, CA, C, O, OXT = range(5)
_LINKS = 6  # lengths N-CA, CA-C, C-N; angles N-CA-C, CA-C-N, C-N-CA


@dataclass(frozen=True)
class Layout:
    """The slots of the atoms of one sequence in the padded array [L, WIDTH, 3]."""

    types: Tensor  # [L]
    residue: Tensor  # [N]
    slot: Tensor  # [N]
    present: Tensor  # [L, WIDTH] bool

    @classmethod
    def of(cls, atoms: Atoms) -> Layout:
        """Return the slots of atoms. Raises ValueError for others than the heavy atoms of the twenty amino acids.

        Also where the backbone is not whole, or a side chain has lost an atom but not those further out.
        """
        types, slots = residue_types(atoms.sequence), slots_of(atoms)
        present = np.zeros((len(types), WIDTH), bool)
        present[atoms.residue, slots] = True
        if not present[:, : O + 1].all():
            lacking = 1 + int(np.flatnonzero(~present[:, : O + 1].all(1))[0])
            raise ValueError(f"residue {lacking} lacks an atom of its backbone (N, CA, C, O)")
        parents = PARENTS[types].reshape(len(types), -1)
        placed = np.take_along_axis(present, parents, 1).reshape(*present.shape, -1).all(-1)
        if (orphans := np.argwhere(present & ~placed)).size:
            residue, slot = orphans[0].tolist()
            name = SLOTS[AMINO_ACIDS[types[residue]]][slot]
            raise ValueError(f"residue {residue + 1} has {name}, but lacks an atom between that and its backbone")
        return cls(torch.tensor(types), torch.tensor(atoms.residue), torch.tensor(slots), torch.tensor(present))

    def pad(self, positions: Tensor) -> Tensor:
        """Return positions [F, N, 3] as [F, L, WIDTH, 3], with zeros where there is no atom."""
        padded = positions.new_zeros(len(positions), *self.present.shape, 3)
        padded[:, self.residue, self.slot] = positions
        return padded

    def unpad(self, padded: Tensor) -> Tensor:
        """Return positions [F, L, WIDTH, 3] as [F, N, 3]."""
        return padded[:, self.residue, self.slot]

    def torsion_mask(self) -> Tensor:
        """[L, 7] bool: which torsions exist."""
        length = len(self.types)
        mask = torch.zeros(length, len(TORSIONS), dtype=torch.bool)
        mask[1:, PHI] = mask[1:, OMEGA] = True
        drivers = torch.tensor(DRIVER)[self.types]
        for k in range(len(TORSIONS)):
            if k not in (PHI, OMEGA):
                has = drivers[:, k] >= 0
                mask[:, k] = has & self.present[torch.arange(length), drivers[:, k].clamp(min=0)]
        return mask


def dihedral(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Return the dihedral angle of points [..., 3] in radian (IUPAC sign)."""
    b0, b1, b2 = a - b, c - b, d - c
    b1 = torch.nn.functional.normalize(b1, dim=-1)
    v = b0 - (b0 * b1).sum(-1, keepdim=True) * b1
    w = b2 - (b2 * b1).sum(-1, keepdim=True) * b1
    return torch.atan2((torch.linalg.cross(b1, v) * w).sum(-1), (v * w).sum(-1))


def _angle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    u, v = torch.nn.functional.normalize(a - b, dim=-1), torch.nn.functional.normalize(c - b, dim=-1)
    return torch.acos((u * v).sum(-1).clamp(-1, 1))


def place(a: Tensor, b: Tensor, c: Tensor, length: Tensor, angle: Tensor, torsion: Tensor) -> Tensor:
    """Return the point d at ``length`` from c, ``angle`` b-c-d and dihedral a-b-c-d (Parsons et al. 2005)."""
    bc = torch.nn.functional.normalize(c - b, dim=-1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, bc), dim=-1)
    across = torch.linalg.cross(normal, bc)
    along, radial = -length * torch.cos(angle), length * torch.sin(angle)
    point: Tensor = (
        c
        + along[..., None] * bc
        + (radial * torch.cos(torsion))[..., None] * across
        + (radial * torch.sin(torsion))[..., None] * normal
    )
    return point


def frames(padded: Tensor) -> tuple[Tensor, Tensor]:
    """Return backbone frames: rotation [..., 3, 3] (columns: along CA-C, towards N, normal), origin CA [..., 3]."""
    n, ca, c = padded[..., N, :], padded[..., CA, :], padded[..., C, :]
    x = torch.nn.functional.normalize(c - ca, dim=-1)
    y = n - ca
    y = torch.nn.functional.normalize(y - (y * x).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1), ca


def torsions(padded: Tensor, layout: Layout) -> Tensor:
    """Return torsions [F, L, 7] in radian, 0 if absent. psi is that of O plus pi, so that every residue has one."""
    count, length = padded.shape[:2]
    out = padded.new_zeros(count, length, len(TORSIONS))
    n, ca, c = padded[:, :, N], padded[:, :, CA], padded[:, :, C]
    out[:, 1:, PHI] = dihedral(c[:, :-1], n[:, 1:], ca[:, 1:], c[:, 1:])
    out[:, 1:, OMEGA] = dihedral(ca[:, :-1], c[:, :-1], n[:, 1:], ca[:, 1:])
    out[:, :, PSI] = dihedral(n, ca, c, padded[:, :, O]) + torch.pi
    rows = torch.arange(length)
    drivers = torch.tensor(DRIVER)[layout.types]
    for k in range(OMEGA + 1, len(TORSIONS)):
        slot = drivers[:, k].clamp(min=0)
        c1, c2, c3 = torch.tensor(PARENTS)[layout.types, slot].unbind(-1)
        points = (padded[:, rows, s] for s in (c3, c2, c1, slot))
        out[:, :, k] = dihedral(*points)
    return torch.where(layout.torsion_mask(), out, torch.zeros(()))


@dataclass(frozen=True)
class Geometry:
    """Ideal bond lengths, angles and constant dihedrals of residue types, as means over conformations."""

    length: Tensor  # [20, WIDTH]
    angle: Tensor  # [20, WIDTH]
    offset: Tensor  # [20, WIDTH]
    link: Tensor  # [20, 6]

    @classmethod
    def measure(cls, samples: Iterable[tuple[Layout, Tensor]]) -> Geometry:
        """Return the geometry measured on conformations [F, N, 3] of many sequences.

        Raises ValueError if a residue type never occurs.
        """
        total = torch.zeros(len(AMINO_ACIDS), WIDTH, 4)
        count = torch.zeros(len(AMINO_ACIDS), WIDTH)
        links, link_count = torch.zeros(len(AMINO_ACIDS), _LINKS), torch.zeros(len(AMINO_ACIDS), _LINKS)
        for layout, positions in samples:
            padded, kinds = layout.pad(positions), layout.types
            angles = torsions(padded, layout)
            rows = torch.arange(len(kinds))
            for slot in range(3, WIDTH):
                p1, p2, p3 = torch.tensor(PARENTS)[kinds, slot].unbind(-1)
                a, b, c, d = padded[:, rows, p3], padded[:, rows, p2], padded[:, rows, p1], padded[:, :, slot]
                driver = torch.tensor(TORSION)[kinds, slot]
                turn = torch.where(driver >= 0, angles[:, rows, driver.clamp(min=0)], torch.zeros(()))
                offset = dihedral(a, b, c, d) - turn
                values = torch.stack([(d - c).norm(dim=-1), _angle(b, c, d), offset.sin(), offset.cos()], -1).mean(0)
                here = layout.present[:, slot].float()
                total[:, slot].index_add_(0, kinds, values * here[:, None])
                count[:, slot].index_add_(0, kinds, here)
            n, ca, c = padded[:, :, N], padded[:, :, CA], padded[:, :, C]
            inside = torch.stack([(ca - n).norm(dim=-1), (c - ca).norm(dim=-1), _angle(n, ca, c)], -1).mean(0)
            links[:, [0, 1, 3]] = links[:, [0, 1, 3]].index_add(0, kinds, inside)
            link_count[:, [0, 1, 3]] = link_count[:, [0, 1, 3]].index_add(0, kinds, torch.ones_like(inside))
            between = [
                (n[:, 1:] - c[:, :-1]).norm(dim=-1),
                _angle(ca[:, :-1], c[:, :-1], n[:, 1:]),
                _angle(c[:, :-1], n[:, 1:], ca[:, 1:]),
            ]
            across = torch.stack(between, -1).mean(0)
            links[:, [2, 4, 5]] = links[:, [2, 4, 5]].index_add(0, kinds[1:], across)
            link_count[:, [2, 4, 5]] = link_count[:, [2, 4, 5]].index_add(0, kinds[1:], torch.ones_like(across))
        missing = [letter for letter, found in zip(AMINO_ACIDS, (link_count > 0).all(-1), strict=True) if not found]
        if missing:
            raise ValueError(f"no inner residue of type {', '.join(missing)} to measure ideal geometry from")
        # OXT is rare: where a residue type never stood last, its mirror image about the plane is O's.
        mean = total / count.clamp(min=1)[..., None]
        bare = count[:, OXT] == 0
        fallback = total[:, OXT].sum(0) / count[:, OXT].sum()
        mean[bare, OXT] = fallback
        return cls(mean[..., 0], mean[..., 1], torch.atan2(mean[..., 2], mean[..., 3]), links / link_count)

    def side_atoms(self, padded: Tensor, angles: Tensor, layout: Layout) -> Tensor:
        """Place O, OXT and side chains in a padded array whose N, CA and C are set."""
        kinds, rows = layout.types, torch.arange(len(layout.types))
        atoms = list(padded.unbind(2))
        for slot in range(3, WIDTH):
            p1, p2, p3 = torch.tensor(PARENTS)[kinds, slot].unbind(-1)
            stacked = torch.stack(atoms[:slot], 2)
            driver = torch.tensor(TORSION)[kinds, slot]
            turn = torch.where(driver >= 0, angles[:, rows, driver.clamp(min=0)], torch.zeros(()))
            a, b, c = (stacked[:, rows, parent] for parent in (p3, p2, p1))
            shape = angles.shape[:2]
            length, angle = self.length[kinds, slot].expand(shape), self.angle[kinds, slot].expand(shape)
            atoms[slot] = place(a, b, c, length, angle, turn + self.offset[kinds, slot])
        return torch.stack(atoms, 2) * layout.present[..., None]

    def backbone(self, angles: Tensor, types: Tensor) -> Tensor:
        """Return N, CA and C [F, L, 3, 3], grown from torsions [F, L, 7]. ``types`` are [L] or [F, L]."""
        count, length = angles.shape[:2]
        link = self.link.to(angles.device)[types]
        n_ca, ca_c, c_n, n_ca_c, ca_c_n, c_n_ca = (v.expand(count, length) for v in link.unbind(-1))
        backbone: list[Tensor] = []
        for i in range(length):
            if i == 0:
                zero = angles.new_zeros(count)
                ca = torch.stack([zero, zero, zero], -1)
                n = torch.stack([n_ca[:, 0], zero, zero], -1)
                turn = n_ca_c[:, 0]
                c = torch.stack([ca_c[:, 0] * torch.cos(turn), ca_c[:, 0] * torch.sin(turn), zero], -1)
            else:
                n0, ca0, c0 = backbone[-3:]
                # psi is defined by way of O: the next N lies opposite to it.
                n = place(n0, ca0, c0, c_n[:, i], ca_c_n[:, i], angles[:, i - 1, PSI])
                ca = place(ca0, c0, n, n_ca[:, i], c_n_ca[:, i], angles[:, i, OMEGA])
                c = place(c0, n, ca, ca_c[:, i], n_ca_c[:, i], angles[:, i, PHI])
            backbone += [n, ca, c]
        placed: Tensor = torch.stack(backbone, 1).unflatten(1, (length, 3))
        return placed

    def chain(self, angles: Tensor, layout: Layout) -> Tensor:
        """Return padded atoms [F, L, WIDTH, 3] from torsions [F, L, 7] on the backbone grown from them."""
        padded = angles.new_zeros(*angles.shape[:2], WIDTH, 3)
        padded[:, :, :3] = self.backbone(angles, layout.types)
        return self.side_atoms(padded, angles, layout)

    def on_frames(self, rotation: Tensor, origin: Tensor, angles: Tensor, layout: Layout) -> Tensor:
        """Return padded atoms from backbone frames ([F, L, 3, 3], [F, L, 3]) and torsions [F, L, 7]."""
        count, length = angles.shape[:2]
        n_ca, ca_c, _, n_ca_c, _, _ = self.link[layout.types].unbind(-1)
        zero = torch.zeros_like(n_ca)
        local = torch.stack(
            [
                torch.stack([n_ca * torch.cos(n_ca_c), n_ca * torch.sin(n_ca_c), zero], -1),
                torch.stack([zero, zero, zero], -1),
                torch.stack([ca_c, zero, zero], -1),
            ],
            1,
        )
        padded = angles.new_zeros(count, length, WIDTH, 3)
        padded[:, :, :3] = torch.einsum("flij,laj->flai", rotation, local) + origin[:, :, None]
        return self.side_atoms(padded, angles, layout)


def encode(padded: Tensor, native: Tensor, layout: Layout) -> Tensor:
    """Return internal coordinates [F, L, 23] of conformations [F, L, WIDTH, 3], superposed onto the native first."""
    angles = torsions(padded, layout)
    mask = layout.torsion_mask()
    waves = torch.stack([angles.sin(), angles.cos()], -1) * mask[..., None]
    rotation, origin = frames(superpose(padded, native))
    native_rotation, native_origin = frames(native)
    shift = torch.einsum("lji,flj->fli", native_rotation, origin - native_origin) / TRANSLATION_SCALE
    turn = torch.einsum("lji,fljk->flik", native_rotation, rotation) - torch.eye(3)
    return torch.cat([waves.flatten(2), shift, turn[..., :2].flatten(2)], -1)


def decode_angles(coordinates: Tensor) -> Tensor:
    """Return torsions [F, L, 7] in radian. Sine and cosine need not have norm one."""
    waves = coordinates[..., :TORSION_CHANNELS].unflatten(-1, (-1, 2))
    return torch.atan2(waves[..., 0], waves[..., 1])


def decode_frames(coordinates: Tensor, native: Tensor) -> tuple[Tensor, Tensor]:
    """Return backbone frames from the displacement channels, with the rotation by Gram-Schmidt."""
    native_rotation, native_origin = frames(native)
    shift = coordinates[..., TORSION_CHANNELS : TORSION_CHANNELS + 3] * TRANSLATION_SCALE
    columns = coordinates[..., TORSION_CHANNELS + 3 :].unflatten(-1, (3, 2)) + torch.eye(3)[:, :2]
    x = torch.nn.functional.normalize(columns[..., 0], dim=-1)
    y = columns[..., 1] - (columns[..., 1] * x).sum(-1, keepdim=True) * x
    y = torch.nn.functional.normalize(y, dim=-1)
    turn = torch.stack([x, y, torch.linalg.cross(x, y)], -1)
    rotation = torch.einsum("lij,fljk->flik", native_rotation, turn)
    return rotation, native_origin + torch.einsum("lij,flj->fli", native_rotation, shift)


def superpose(padded: Tensor, native: Tensor) -> Tensor:
    """Return conformations [F, L, WIDTH, 3] superposed onto the native [L, WIDTH, 3] on their C-alphas (Kabsch)."""
    mobile, fixed = padded[:, :, CA], native[:, CA]
    mobile_centre, fixed_centre = mobile.mean(1, keepdim=True), fixed.mean(0)
    covariance = torch.einsum("fli,lj->fij", mobile - mobile_centre, fixed - fixed_centre)
    u, _, vt = torch.linalg.svd(covariance)
    sign = torch.ones(len(padded), 3)
    sign[:, 2] = torch.det(u @ vt)
    rotation = u @ (sign[..., None] * vt)
    return torch.einsum("flai,fij->flaj", padded - mobile_centre[:, None], rotation) + fixed_centre
