"""Matching and pairing: by sequence and names, whatever the order; what does not fit is refused by name."""

from dataclasses import replace

import numpy as np
import pytest
from proteins import build, ensemble, reference, reordered, turned

from ebabench.errors import InputError
from ebabench.scoring.pair import make_pair
from ebabench.structures import ONE_TO_THREE, Atoms, Ensemble, Target
from ebabench.structures.matching import align, match
from ebabench.structures.nomenclature import canonical

CHAIN = "GSHMKNSVIVDLPGSMKVLV"


def part(one: Ensemble, index) -> Ensemble:
    residue = np.unique(one.atoms.residue[index], return_inverse=True)[1]
    atoms = Atoms(one.atoms.name[index], one.atoms.residue_name[index], residue)
    return Ensemble(one.target, atoms, one.positions[:, index])


def test_a_shuffled_model_finds_its_atoms():
    model = ensemble(build(CHAIN), frames=3)
    shuffled = reordered(model)
    found = match(shuffled.atoms, model.atoms)
    assert found.coverage == 1
    np.testing.assert_array_equal(shuffled.positions[:, found.model], model.positions[:, found.reference])
    np.testing.assert_array_equal(found.reference, np.arange(len(model.atoms)))


@pytest.mark.parametrize(
    ("residue", "atom", "alias_residue", "alias_atom"),
    [
        ("HIS", None, "HSD", None), ("HIS", None, "HSE", None), ("HIS", None, "HIE", None), ("HIS", None, "HID", None),
        ("HIS", None, "HIP", None), ("MET", "SD", "MSE", "SE"), ("ILE", "CD1", "ILE", "CD"),
    ],
)  # fmt: skip
def test_aliases(residue, atom, alias_residue, alias_atom):
    atoms = build(CHAIN).atoms
    name = np.where((atoms.residue_name == residue) & (atoms.name == atom), alias_atom or "", atoms.name)
    renamed = Atoms(name, np.where(atoms.residue_name == residue, alias_residue, atoms.residue_name), atoms.residue)
    assert renamed.digest() != atoms.digest()
    assert canonical(renamed).digest() == atoms.digest()
    assert match(renamed, atoms).coverage == 1
    assert match(atoms, renamed).coverage == 1


@pytest.mark.parametrize(("first", "second"), [("OT1", "OT2"), ("OC1", "OC2"), ("O1", "O2"), ("O", "OXT")])
def test_terminal_oxygens(first, second):
    def ended(a, b):
        atoms = build("GA").atoms
        name = atoms.name.astype("U4")
        name[np.flatnonzero(name == "O")[-1]] = a
        return Atoms(
            np.append(name, b), np.append(atoms.residue_name, "ALA"), np.append(atoms.residue, 1).astype(np.int64)
        )

    assert match(ended(first, second), ended("O", "OXT")).coverage == 1
    assert match(build("GA").atoms, ended(first, second)).coverage == pytest.approx(0.9)


@pytest.mark.parametrize("own", [("O",), ("OT1", "OT2"), ("O", "OXT")])
def test_oxygens_of_a_modified_side_chain_are_not_those_of_the_end(own):
    """Sulfotyrosine has O1 to O3, formylmethionine O1."""
    name = ["N", "CA", "C", "S", "O1", "O2", "O3", *own]
    table = canonical(Atoms(np.array(name), np.full(len(name), "TYS"), np.zeros(len(name), np.int64)))
    assert table.name.tolist() == [*name[:7], *("O", "OXT")[: len(own)]]


def test_places_of_missing_and_extra_residues():
    np.testing.assert_array_equal(align(CHAIN, CHAIN), np.arange(20))
    np.testing.assert_array_equal(align(CHAIN[3:], CHAIN), np.arange(3, 20))
    np.testing.assert_array_equal(align(CHAIN[:8] + CHAIN[11:], CHAIN), np.r_[0:8, 11:20])
    np.testing.assert_array_equal(align("MA" + CHAIN + "HHH", CHAIN), np.r_[-1, -1, 0:20, -1, -1, -1])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (CHAIN[:4] + "W" + CHAIN[5:], "residue 5 is TRP, in the reference LYS"),
        (CHAIN[:4] + "X" + CHAIN[5:], "residue 5 is X"),
        (CHAIN[1:] + "A", "shifted"),
        ("A" + CHAIN[:-1], "shifted"),
        (
            CHAIN[:8] + "WWW" + CHAIN[8:],
            "lacks 3 residues .*: WWW, the first behind residue 8.*complete the",
        ),
        ("WWWWWWWWWW", "does not fit: 0 of"),
        (CHAIN[:6], "does not fit: 6 of"),
    ],
)
def test_another_sequence_is_refused(model, message):
    with pytest.raises(InputError, match=message):
        align(model, CHAIN)


@pytest.mark.parametrize("whose", ["model", "reference"])
def test_an_unknown_amino_acid_is_named_and_what_to_do(whose):
    plain, unknown = ["ALA", "SER", "GLY", "LYS"], ["ALA", "UNK", "GLY", "LYS"]
    with pytest.raises(InputError) as error:
        align(*((unknown, plain) if whose == "model" else (plain, unknown)))
    assert error.value.code == "match.other-sequence"
    assert {error.value.named["model"], error.value.named["reference"]} == {"UNK", "SER"}
    assert all(said in str(error.value) for said in ("rename", "SER", whose))


def test_an_ambiguous_place_is_refused():
    with pytest.raises(InputError, match="more than one way"):
        align("AAA", "AAAA")
    with pytest.raises(InputError, match="shifted"):
        align("GYAA", "YAAG")


def test_a_partial_model_gives_what_it_supports():
    target, md = build(CHAIN), reference(build(CHAIN))
    model = ensemble(target)
    ca = make_pair(part(model, target.atoms.select("CA")), md)
    backbone = make_pair(part(model, target.atoms.select("N", "CA", "C", "O", "CB")), md)
    assert ca.coverage == pytest.approx(20 / len(target.atoms))
    assert (ca.unavailable_reason("ca"), backbone.unavailable_reason("backbone")) == (None, None)
    assert "backbone atoms: N, C, O" in ca.unavailable_reason("backbone").reason
    assert "side chains" in backbone.unavailable_reason("heavy").reason
    whole = make_pair(model, md)
    assert whole.unavailable_reason("heavy") is None
    assert "no energy protocol" in whole.unavailable_reason("energy").reason
    # The C-alphas lie alike, whichever other atoms the model has.
    np.testing.assert_allclose(ca.model_ca, whole.model_ca, atol=1e-4)
    np.testing.assert_allclose(ca.md_ca, whole.md_ca, atol=1e-4)


def test_missing_residues_keep_their_place():
    target = build(CHAIN)
    kept = np.flatnonzero((target.atoms.residue < 8) | (target.atoms.residue > 10))
    pair = make_pair(part(ensemble(target), kept), reference(target))
    np.testing.assert_array_equal(pair.residue_index, np.r_[0:8, 11:20])
    np.testing.assert_array_equal(pair.in_reference, kept)
    assert (
        "lacks residues"
        in make_pair(part(ensemble(target), kept), reference(target), energy_protocol="any")
        .unavailable_reason("energy")
        .reason
    )


def test_held_out_replicas_are_dropped():
    target, md = build("GAIK"), reference(build("GAIK"))
    model = Ensemble(target.name, target.atoms, md.replicas[0], held_out=(1,))
    pair = make_pair(model, md)
    assert pair.replica_lengths == (60, 60)
    np.testing.assert_array_equal(pair.md_as_read(pair.md_draw), np.concatenate(md.replicas[1:])[pair.md_draw])
    with pytest.raises(InputError, match="no reference replica"):
        make_pair(Ensemble(target.name, target.atoms, md.replicas[0], held_out=(1, 2, 3)), md)


def test_draws_are_the_published_ones():
    md = reference(build("GAIK"))
    pair = make_pair(ensemble(build("GAIK")), md)
    random = np.random.RandomState(137)
    for draw, size in ((pair.md_draw, 40), (pair.md_draw_2, 40), (pair.md_draw_1000, 1000)):
        np.testing.assert_array_equal(draw, random.randint(0, 180, size))


def test_superposition_leaves_the_least_rmsd():
    import mdtraj

    target = build(CHAIN)
    md = reference(target)
    pair = make_pair(ensemble(target), md)
    raw = np.concatenate(md.replicas)[pair.md_draw_1000]
    topology = mdtraj.Topology()
    residue = topology.add_residue("X", topology.add_chain())
    for _ in range(len(target.atoms)):
        topology.add_atom("C", mdtraj.element.carbon, residue)
    frames, native = mdtraj.Trajectory(raw / 10, topology), mdtraj.Trajectory(target.native[None] / 10, topology)
    ours = np.sqrt(((pair.md(pair.md_draw_1000) - pair.native) ** 2).sum(2).mean(1))
    np.testing.assert_allclose(ours, 10 * mdtraj.rmsd(frames, native), atol=2e-4)


def test_pairing_does_not_see_orientation():
    target = build(CHAIN)
    model, md = ensemble(target), reference(target)
    moved = Ensemble(model.target, model.atoms, turned(model.positions))
    np.testing.assert_allclose(make_pair(moved, md).model, make_pair(model, md).model, atol=1e-4)


def spoiled(edit):
    target = build(CHAIN)
    model = ensemble(target)
    positions = model.positions.copy()
    return Ensemble(model.target, model.atoms, edit(positions, target))


def nan(positions, target):
    positions[6, 3, 1] = np.nan
    return positions


def padded(positions, target):
    positions[3, 5:9] = 0
    return positions


def padded_side_chain(positions, target):
    first, second = (target.atoms.select(name)[0] for name in ("CG1", "CG2"))
    positions[:, second] = positions[:, first]
    return positions


def padded_backbone(positions, target):
    """A model of C-alphas whose other atoms lie there too: all its torsions would be 0."""
    return positions[:, target.atoms.select("CA")[target.atoms.residue]]


def jump(positions, target):
    positions[4, target.atoms.residue > 9] += np.float32(60)
    return positions


def torn(positions, target):
    positions[4, target.atoms.select("CG1")[0]] += np.float32(60)
    return positions


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (nan, "NaN or infinite positions in frame 7"),
        (padded, "4 atoms lie at the origin in frame 4"),
        (padded_side_chain, "atoms CG1 and CG2 of residue 8 lie in one place: missing atoms were padded"),
        (padded_backbone, "atoms N and CA of residue 1 lie in one place: missing atoms were padded"),
        (lambda positions, target: positions / 10, "nanometres"),
        (lambda positions, target: positions / 1000, "not a chain in angstrom"),
        (lambda positions, target: positions * np.array([1, 1, -1], np.float32), "mirrored"),
        (jump, "apart in frame 5 .pair 10.: a jump through a periodic boundary"),
        (torn, "atom CG1 of residue 8 .* in frame 5"),
        (lambda positions, target: positions[:1], "1 frame;"),
    ],
)
def test_what_is_no_ensemble_is_refused(edit, message):
    with pytest.raises(InputError, match=message) as error:
        make_pair(spoiled(edit), reference(build(CHAIN)))
    assert str(error.value).startswith("synthetic: ")


def test_a_reference_with_a_jump_is_refused():
    target = build(CHAIN)
    md = reference(target)
    md.replicas[1][17, target.atoms.residue > 9] += np.float32(60)
    with pytest.raises(InputError, match=r"replica 2: .* in frame 18"):
        make_pair(ensemble(target), md).md_ca  # noqa: B018


def test_a_mirrored_trace_of_c_alphas_is_refused():
    target = build(CHAIN)
    model = part(ensemble(target, amplitude=0.3), target.atoms.select("CA"))
    make_pair(model, reference(target))
    with pytest.raises(InputError, match="mirrored"):
        make_pair(Ensemble(model.target, model.atoms, -model.positions), reference(target))


def test_positions_one_residue_off_are_refused():
    """A file numbered from 0, read by number: right names, wrong places."""
    rng = np.random.default_rng(1)
    steps = rng.standard_normal((40, 3))
    fold = np.cumsum(3.8 * steps / np.linalg.norm(steps, axis=1)[:, None], axis=0)
    atoms = Atoms(np.full(40, "CA"), np.array([ONE_TO_THREE[letter] for letter in CHAIN * 2]), np.arange(40))
    md = reference(Target("synthetic", CHAIN * 2, atoms, fold.astype(np.float32)))
    off = np.concatenate([fold[1:], 2 * fold[-1:] - fold[-2:-1]])
    frames = (off + 0.1 * rng.standard_normal((20, *off.shape))).astype(np.float32)
    right = (fold + 0.1 * rng.standard_normal((20, *off.shape))).astype(np.float32)
    make_pair(Ensemble("synthetic", atoms, right), md)
    with pytest.raises(InputError, match="shifted by -1 residue"):
        make_pair(Ensemble("synthetic", atoms, frames), md)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(InputError, match="did you mean corrected"):
        make_pair(ensemble(build("GAIK")), reference(build("GAIK")), protocol="corected")


@pytest.mark.parametrize(("copies", "expected"), [([], 0), ([(30, 12)], 1), ([(30, 12), (31, 12), (5, 4)], 3)])
def test_copies_are_counted_whatever_their_orientation(copies, expected):
    def edit(positions, target):
        for to, of in copies:
            positions[to] = turned(positions[of : of + 1], seed=to)[0]
        return positions

    assert make_pair(spoiled(edit), reference(build(CHAIN))).duplicates == expected


def test_a_single_structure_repeated_is_an_ensemble():
    target = build(CHAIN)
    same = turned(np.repeat(target.native[None], 300, 0))
    assert make_pair(Ensemble("synthetic", target.atoms, same), reference(target)).duplicates == 299


def test_conformations_of_weight_zero_are_absent():
    target = build(CHAIN)
    model = ensemble(target)
    weights = np.arange(len(model)) % 3.0
    weighted = make_pair(replace(model, weights=weights), reference(target))
    kept = np.flatnonzero(weights)
    absent = make_pair(replace(model, positions=model.positions[kept], weights=weights[kept]), reference(target))
    np.testing.assert_array_equal(weighted.model, absent.model)
    np.testing.assert_allclose(weighted.weights, absent.weights)
    equal = make_pair(replace(model, weights=(weights > 0).astype(float)), reference(target))
    assert equal.weights is None
