"""The figures of a pair, computed again from docs/reference/metrics.md with plain NumPy and SciPy.

Nothing of ebabench is imported. The support vector machine is that of scikit-learn. Loops are plain, and every choice
that the documentation states is visible.
"""

import itertools

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import jensenshannon
from scipy.special import ndtr
from scipy.stats import pearsonr
from sklearn.svm import SVC

KT = 0.001987203599772605 * 300  # kcal/mol

CHI = {
    "ALA": "", "GLY": "", "ARG": "N CA CB CG CD NE CZ NH1", "ASN": "N CA CB CG OD1", "ASP": "N CA CB CG OD1",
    "CYS": "N CA CB SG", "GLN": "N CA CB CG CD OE1", "GLU": "N CA CB CG CD OE1", "HIS": "N CA CB CG ND1",
    "ILE": "N CA CB CG1 CD1", "LEU": "N CA CB CG CD1", "LYS": "N CA CB CG CD CE NZ", "MET": "N CA CB CG SD CE",
    "PHE": "N CA CB CG CD1", "PRO": "N CA CB CG CD", "SER": "N CA CB OG", "THR": "N CA CB OG1",
    "TRP": "N CA CB CG CD1", "TYR": "N CA CB CG CD1", "VAL": "N CA CB CG1",
}  # fmt: skip


def superpose(frame, onto):
    """A frame [N, 3], rotated and moved for the least RMSD from a structure whose centroid is the origin."""
    centered = frame - frame.mean(0)
    u, _, vt = np.linalg.svd(centered.T @ onto)
    return centered @ (u * [1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt


def w2(one, other):
    """2-Wasserstein distance of as many points on either side."""
    cost = ((one[:, None] - other[None]) ** 2).sum(2)
    return np.sqrt(cost[linear_sum_assignment(cost)].mean())


def w2_torus(one, other):
    """The same for angles in radians, in degrees."""
    away = np.abs((one[:, None] - other[None] + np.pi) % (2 * np.pi) - np.pi)
    cost = (away**2).sum(2)
    return np.degrees(np.sqrt(cost[linear_sum_assignment(cost)].mean()))


def pca(frames, count):
    """Mean and principal axes of flattened frames, by a singular value decomposition."""
    rows = frames.reshape(len(frames), -1)
    return rows.mean(0), np.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:count]


def in_plane(frames, plane):
    return (frames.reshape(len(frames), -1) - plane[0]) @ plane[1].T


def histogram(values, md, bins):
    """Shares below MD's range, in equal bins over it, and above it."""
    inner = np.histogram(values, bins, (md.min(), md.max()))[0]
    return np.array([(values < md.min()).sum(), *inner, (values > md.max()).sum()]) / len(values)


def js(model, md, bins):
    """Jensen-Shannon distance of base 2 with MD's bins."""
    return jensenshannon(histogram(model, md, bins), histogram(md, md, bins), base=2)


def bins_of(samples):
    return int(min(max(np.sqrt(samples), 4), 50))


def angle(a, b, c, d):
    """Dihedral angle of four points, in radians."""
    u, v, w = b - a, c - b, d - c
    return np.arctan2(np.linalg.norm(v) * u @ np.cross(v, w), np.cross(u, v) @ np.cross(v, w))


def torsion_atoms(names, residue_names, residues):
    """(kind, residue, four atoms) of every torsion; residues without gaps."""
    row = {(r, n): k for k, (r, n) in enumerate(zip(residues, names, strict=True))}
    kind_of = dict(zip(residues, residue_names, strict=True))
    found = []
    for r in sorted(kind_of):
        chi = CHI[kind_of[r]].split()
        wanted = {
            "phi": [(r - 1, "C"), (r, "N"), (r, "CA"), (r, "C")],
            "psi": [(r, "N"), (r, "CA"), (r, "C"), (r + 1, "N")],
            "omega": [(r, "CA"), (r, "C"), (r + 1, "N"), (r + 1, "CA")],
        } | {f"chi{k + 1}": [(r, n) for n in chi[k : k + 4]] for k in range(len(chi) - 3)}
        found += [(k, r, [row[key] for key in keys]) for k, keys in wanted.items() if all(key in row for key in keys)]
    return found


def lddt(one, other):
    """lDDT of C-alphas [C, 3] of one conformation against another."""
    true = np.array([np.linalg.norm(a - b) for a, b in itertools.combinations(other, 2)])
    mine = np.array([np.linalg.norm(a - b) for a, b in itertools.combinations(one, 2)])
    error = np.abs(mine - true)[true < 15]
    return np.mean([(error < limit).mean() for limit in (0.5, 1, 2, 4)])


def covariance_root_distance(s1, s2):
    """tr(S1 + S2 - 2 (S1 S2)^1/2), by the eigenvalues of the product."""
    product = np.linalg.eigvals(s1 @ s2).real
    return np.trace(s1 + s2) - 2 * np.sqrt(np.maximum(product, 0)).sum()


def tica(features, lengths, lag, least):
    """The two slowest directions, and the mean of the frames that enter."""
    pairs, start = [], 0
    for length in lengths:
        pairs += [(k, k + lag) for k in range(start, start + length - lag)]
        start += length
    now, later = features[[a for a, _ in pairs]], features[[b for _, b in pairs]]
    center = np.concatenate([now, later]).mean(0)
    now, later = now - center, later - center
    c0 = (now.T @ now + later.T @ later) / (2 * len(pairs))
    ct = (now.T @ later + later.T @ now) / (2 * len(pairs))
    values, vectors = np.linalg.eigh(c0)
    kept = values > least
    whiten = vectors[:, kept] / np.sqrt(values[kept])
    return whiten @ eigh(whiten.T @ ct @ whiten)[1][:, ::-1][:, :2]


def free_energy(md, model):
    """Mean absolute and root mean square error in kcal/mol, and coverage, of two coordinates."""
    width = md.std(0)
    md, model = md / width, model / width
    edges = [np.linspace(md[:, k].min() - 0.75, md[:, k].max() + 0.75, 51) for k in (0, 1)]
    surfaces = []
    for points in (md, model):
        density = np.zeros((50, 50))
        for x, y in points:
            density += np.outer(np.diff(ndtr((edges[0] - x) / 0.25)), np.diff(ndtr((edges[1] - y) / 0.25)))
        surfaces.append(density / len(points))
    low = surfaces[0] > surfaces[0].max() * np.exp(-4 / KT)
    both = low & (surfaces[1] >= 1e-6)
    away = -KT * np.log(surfaces[1][both]) + KT * np.log(surfaces[0][both])
    return np.abs(away - np.median(away)).mean(), np.sqrt(((away - away.mean()) ** 2).mean()), both.sum() / low.sum()


def on_one_grid(model, md, bins):
    """Jensen-Shannon distance (nats) of points on a grid from the least to the greatest value of both."""
    both = np.concatenate([model, md])
    limits = list(zip(both.min(0), both.max(0), strict=True))
    counts = [np.histogramdd(points, bins, limits)[0].ravel() for points in (model, md)]
    return jensenshannon(*counts)


class Case:
    """Both sides of a pair as the definitions take them.

    Args:
        names: [N] of atoms.
        residue_names: [N].
        residues: [N], from 0 without gaps.
        native: [N, 3].
        model: [n, N, 3].
        replicas: [F_k, N, 3] each.
    """

    def __init__(self, names, residue_names, residues, native, model, replicas):
        self.names, self.residue_names, self.residues = names, residue_names, residues
        self.n, self.lengths = len(model), [len(replica) for replica in replicas]
        self.frames = sum(self.lengths)
        ca = np.flatnonzero(np.asarray(names) == "CA")
        self.size, self.at = len(ca), [residues[k] for k in ca]
        self.native = native - native.mean(0)
        self.native_ca = self.native[ca] - self.native[ca].mean(0)
        sides = (model, np.concatenate(replicas))
        self.model, self.md = (np.array([superpose(f, self.native) for f in side]) for side in sides)
        self.model_ca, self.md_ca = (
            np.array([superpose(f[ca], self.native_ca) for f in side]) for side in (self.model, self.md)
        )
        random = np.random.RandomState(137)
        self.a, self.b, self.c = (random.randint(0, self.frames, count) for count in (self.n, self.n, 1000))
        self.lag = max(min(self.lengths) // 100, 1)
        self.pairs = list(itertools.combinations(range(self.size), 2))
        self.model_d, self.md_d = (
            {(i, j): np.linalg.norm(s[:, i] - s[:, j], axis=1) for i, j in self.pairs}
            for s in (self.model_ca, self.md_ca)
        )


def energies(model, md):
    """The figures of energies [n] of a model and [n] of MD, all of them known."""
    levels = (np.arange(8000) + 0.5) / 10000 + 0.1  # of quantiles, 10 to 90 %
    own, reference = np.sort(model), np.sort(md)
    at = np.ceil(levels * len(own)).astype(int) - 1
    return {
        "energy_w1": np.abs(own - reference).mean(),
        "energy_w1_trimmed": np.abs(own[at] - reference[at]).mean(),
        "energy_js": js(model, md, bins_of(len(model))),
        "energy_failed_percent": 0,
    }


def skill(scores, positive):
    """2 AUC - 1 by counting pairs of a positive and a negative."""
    higher = np.sign(scores[positive][:, None] - scores[~positive][None])
    return higher.mean()


def classifier(case):
    """The figures of the classifier for a model without copies."""
    every = torsion_atoms(case.names, case.residue_names, case.residues)
    frames = np.linspace(0, case.frames - 1, min(case.n, case.frames)).round().astype(int)
    sides = case.model, case.md[frames]
    angles = np.concatenate([[[angle(*f[four]) for _, _, four in every] for f in side] for side in sides])
    of_model = np.arange(len(angles)) < case.n
    order = np.argsort(np.sin(angles[:, 0]))
    angles, of_model, fold = angles[order], of_model[order], np.arange(len(angles)) % 5
    away = np.cos(angles[:, None] - angles[None]) - 1  # [K, K, T]
    kernel, scores = np.exp(2 * away.mean(2)), np.empty(len(angles))
    for k in range(5):
        rest = fold != k
        machine = SVC(C=1, kernel="precomputed").fit(kernel[np.ix_(rest, rest)], of_model[rest])
        scores[~rest] = machine.decision_function(kernel[np.ix_(~rest, rest)])
    profile = []
    for residue in sorted(set(case.residues)):
        own = [k for k, (_, r, _) in enumerate(every) if r == residue]
        density = np.exp(8 * away[:, :, own].sum(2))
        shares = []
        for k in range(len(angles)):
            others = np.arange(len(angles)) != k
            model, md = (density[k, others & (of_model == side)].mean() for side in (True, False))
            shares.append(model / (model + md))
        profile.append(skill(np.array(shares), of_model))
    return {"classifier_skill": skill(scores, of_model), "classifier_residue_skill": np.array(profile)}


def figures(*case):
    """Every figure but those of exposure, secondary structure and energy."""
    case = Case(*case)
    parts = (flexibility, distribution, torsions, distances, similarity, contacts, validity, classifier)
    return {key: value for part in parts for key, value in part(case).items()}


def rmsf(side):
    return np.sqrt(((side - side.mean(0)) ** 2).sum(2).mean(0))


def rmsd(one, other):
    return np.sqrt(((one[:, None] - other[None]) ** 2).sum(3).mean(2))


def own_rmsd(side):
    found = rmsd(side, side)
    np.fill_diagonal(found, 0)
    return found


def dccm(side):
    away = side - side.mean(0)
    inner = np.einsum("fix,fjx->ij", away, away)
    return (inner / np.sqrt(np.outer(np.diag(inner), np.diag(inner))))[np.triu_indices(len(inner), 1)]


def flexibility(case):
    found = {"rmsf": rmsf(case.model), "md_rmsf": rmsf(case.md)}
    found["rmsf_r"] = pearsonr(found["rmsf"], found["md_rmsf"])[0]
    found["rmsf_mae"] = np.abs(found["rmsf"] - found["md_rmsf"]).mean()
    found["pairwise_rmsd"] = own_rmsd(case.model_ca).mean()
    found["md_pairwise_rmsd"] = rmsd(case.md_ca[case.a], case.md_ca[case.b]).mean()
    found["pairwise_rmsd_mae"] = abs(found["pairwise_rmsd"] - found["md_pairwise_rmsd"])
    found["dccm_r"] = pearsonr(dccm(case.model_ca), dccm(case.md_ca))[0]
    found["dccm_mae"] = np.abs(dccm(case.model_ca) - dccm(case.md_ca)).mean()
    spaced = np.linspace(0, case.frames - 1, min(case.n, case.frames)).round().astype(int)
    apart = own_rmsd(case.md_ca[spaced])
    near = apart.sum() / (len(spaced) * (len(spaced) - 1)) / 2
    found["effective_conformations"] = 1 / (own_rmsd(case.model_ca) < near).mean()
    found["md_effective_conformations"] = 1 / (apart < near).mean()
    return found


def distribution(case):
    a, b, root = case.md_ca[case.a], case.md_ca[case.b], np.sqrt(case.size)
    plane, joint = pca(case.md_ca, 2), pca(np.concatenate([a, case.model_ca]), 2)
    found = {
        "md_pca_w2": w2(in_plane(a, plane), in_plane(case.model_ca, plane)) / root,
        "md_vs_md_pca_w2": w2(in_plane(a, plane), in_plane(b, plane)) / root,
        "joint_pca_w2": w2(in_plane(a, joint), in_plane(case.model_ca, joint)) / root,
        "pc_sim": abs(pca(case.model_ca, 1)[1][0] @ plane[1][0]),
    }
    c = case.md[case.c]
    shift = ((case.model.mean(0) - c.mean(0)) ** 2).sum(1)
    spread = [
        covariance_root_distance(np.cov(case.model[:, k].T, bias=True), np.cov(c[:, k].T, bias=True))
        for k in range(len(case.names))
    ]
    found["rmwd_translation"], found["rmwd_variance"] = np.sqrt(shift.mean()), np.sqrt(np.mean(spread))
    found["rmwd"] = np.sqrt(shift.mean() + np.mean(spread))
    errors = free_energy(in_plane(case.md_ca, plane), in_plane(case.model_ca, plane))
    keys = ("free_energy_mae", "free_energy_rmse", "free_energy_coverage")
    return found | dict(zip(keys, errors, strict=True))


def basins(angles):
    """Shares of alpha, beta, PPII and left-handed."""
    phi, psi = np.degrees(angles).T
    left = phi > 0
    alpha = ~left & (psi >= -100) & (psi <= 50)
    beta = ~left & ~alpha & (phi <= -100)
    return np.array([alpha.mean(), beta.mean(), (~left & ~alpha & ~beta).mean(), left.mean()])


def torsions(case):
    every = torsion_atoms(case.names, case.residue_names, case.residues)
    model, md = (np.array([[angle(*f[four]) for _, _, four in every] for f in s]) for s in (case.model, case.md))
    column = {(kind, r): k for k, (kind, r, _) in enumerate(every)}
    both = [r for r in sorted(set(case.residues)) if ("phi", r) in column and ("psi", r) in column]
    phi_psi = [[column["phi", r], column["psi", r]] for r in both]
    found = {"ramachandran_w2": np.mean([w2_torus(model[:, k], md[case.a][:, k]) for k in phi_psi])}
    shares = [np.array([basins(side[:, k]) for k in phi_psi]) for side in (model, md)]
    found["basin_populations_tv"] = 100 * np.abs(shares[0] - shares[1]).sum(1).mean() / 2
    found["alpha_percent"], found["md_alpha_percent"] = (100 * share[:, 0].mean() for share in shares)
    for key, kinds in {
        "js_backbone_torsions": ("phi", "psi"),
        "js_side_chain_torsions": ("chi1", "chi2", "chi3", "chi4", "chi5"),
        "js_omega_torsions": ("omega",),
    }.items():
        chosen = [k for k, (kind, _, _) in enumerate(every) if kind in kinds]
        counts = [[np.histogram(side[:, k], 100, (-np.pi, np.pi))[0] for side in (model, md)] for k in chosen]
        found[key] = np.mean([jensenshannon(*both) for both in counts])
    slow = [k for k, (kind, _, _) in enumerate(every) if kind != "omega"]
    features = [np.concatenate([np.sin(side[:, slow]), np.cos(side[:, slow])], axis=1) for side in (model, md)]
    axes = tica(features[1], case.lengths, case.lag, 1e-6)
    model_tics, md_tics = (side @ axes for side in features)
    found["js_torsion_tic_0"] = on_one_grid(model_tics[:, :1], md_tics[:, :1], 100)
    found["js_torsion_tic_01"] = on_one_grid(model_tics, md_tics, 50)
    keys = ("torsion_free_energy_mae", "torsion_free_energy_rmse", "torsion_free_energy_coverage")
    return found | dict(zip(keys, free_energy(md_tics, model_tics), strict=True))


def gyration(side):
    return np.sqrt(((side - side.mean(1, keepdims=True)) ** 2).sum(2).mean(1))


def distances(case):
    bins = bins_of(case.n)
    far = [(i, j) for i, j in case.pairs if case.at[j] - case.at[i] >= 3]
    own, reference = (
        np.array([np.sqrt(sum(d[p].var() for p in case.pairs if k in p) / (case.size - 1)) for k in range(case.size)])
        for d in (case.model_d, case.md_d)
    )
    components = pca(case.md_ca, min(20, 3 * case.size - 6, case.frames // 10))
    model, md = in_plane(case.model_ca, components), in_plane(case.md_ca, components)
    axes = tica(md, case.lengths, case.lag, 0)
    return {
        "js_pairwise_distance": np.mean([js(case.model_d[p], case.md_d[p], bins) for p in far]),
        "distance_rmsf": own,
        "md_distance_rmsf": reference,
        "distance_rmsf_mae": np.abs(own - reference).mean(),
        "js_radius_of_gyration": js(gyration(case.model_ca), gyration(case.md_ca), bins),
        "js_tic": np.mean([js((model @ axes)[:, k], (md @ axes)[:, k], bins) for k in (0, 1)]),
    }


def similarity(case):
    chosen = np.linspace(0, case.n - 1, min(case.n, 100)).round().astype(int)
    model, md = case.model_ca[chosen], case.md_ca[case.a[chosen]]
    match = np.array([[lddt(m, f) for f in md] for m in model])
    distinct = case.md_ca[np.unique(case.a[chosen])]
    own, reference = (
        1 - np.mean([lddt(side[i], side[j]) for i, j in itertools.permutations(range(len(side)), 2)])
        for side in (model, distinct)
    )
    return {
        "precision": match.max(1).mean(),
        "recall": match.max(0).mean(),
        "diversity": own,
        "md_diversity": reference,
    }


def jaccard(one, other):
    return (one & other).sum() / (one | other).sum() if (one | other).any() else np.nan


def contacts(case):
    native = np.array([np.linalg.norm(case.native_ca[i] - case.native_ca[j]) < 8 for i, j in case.pairs])
    model = np.array([(case.model_d[p] < 8).mean() for p in case.pairs])
    a, every = (np.array([(case.md_d[p][f] < 8).mean() for p in case.pairs]) for f in (case.a, slice(None)))
    apart = np.array([case.at[j] - case.at[i] >= 3 for i, j in case.pairs])
    return {
        "weak_contacts_j": jaccard(native & (model < 0.9), native & (a < 0.9)),
        "transient_contacts_j": jaccard(~native & (model > 0.1), ~native & (a > 0.1)),
        "contact_rmse": np.sqrt(((model - every)[apart] ** 2).mean()),
    }


def lengths_of(side, which):
    return np.array([np.linalg.norm(side[:, i] - side[:, j], axis=1) for i, j in which]).T


def validity(case):
    names, residues = case.names, case.residues
    bonds = [
        (i, j)
        for i, j in itertools.combinations(range(len(names)), 2)
        if (residues[i] == residues[j] and np.linalg.norm(case.native[i] - case.native[j]) < 2)
        or (residues[j] == residues[i] + 1 and (names[i], names[j]) == ("C", "N"))
    ]
    peptide = [(i, j) for i, j in bonds if residues[i] != residues[j]]
    center, width = lengths_of(case.md[case.c], bonds).mean(0), lengths_of(case.md[case.c], bonds).std(0)
    clashing = [(i, j) for i, j in case.pairs if case.at[j] - case.at[i] >= 2]
    row = {(r, name): k for k, (r, name) in enumerate(zip(residues, names, strict=True))}
    kind = dict(zip(residues, case.residue_names, strict=True))
    side_chains = {"THR": ("CB", "CA", "OG1", "CG2"), "ILE": ("CB", "CA", "CG1", "CG2")}
    hands = [("CA", "N", "C", "CB", r) for r in kind if kind[r] != "GLY"]
    hands += [(*side_chains[kind[r]], r) for r in kind if kind[r] in side_chains]
    corners = [[row[hand[-1], name] for name in hand[:4]] for hand in hands]
    found = {}
    for prefix, side in (("", case.model), ("md_", case.md[case.a])):
        ca = side[:, np.flatnonzero(np.asarray(names) == "CA")]
        clash = [np.linalg.norm(ca[:, i] - ca[:, j], axis=1) < 3 for i, j in clashing]
        found[f"{prefix}ca_clash_percent"] = 100 * np.any(clash, axis=0).mean()
        found[f"{prefix}peptide_bond_break_percent"] = 100 * (lengths_of(side, peptide) > 1.4).mean()
        found[f"{prefix}bond_length_z"] = np.sqrt((((lengths_of(side, bonds) - center) / width) ** 2).mean())
        volumes = [np.linalg.det(np.stack([side[:, w] - side[:, v] for w in rest], axis=1)) for v, *rest in corners]
        found[f"{prefix}chirality_error_percent"] = 100 * (np.array(volumes) < 0).mean()
    return found
