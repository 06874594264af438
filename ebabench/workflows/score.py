"""Score one ensemble against molecular dynamics, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ebabench.results.result import Result
from ebabench.scoring.metric import Metric
from ebabench.scoring.pair import make_pair
from ebabench.scoring.score import score_pair, single_threaded_libraries
from ebabench.scoring.selection import select_metrics
from ebabench.structures import Reference
from ebabench.system.process_pool import cores
from ebabench.workflows.inputs import Conformations, as_ensemble, as_reference, name_of


def score(
    ensemble: Conformations,
    reference: Reference | Conformations | Sequence[Conformations],
    *,
    metrics: Iterable[str | Metric] | str | Metric | None = None,
    native: Conformations | None = None,
    name: str | None = None,
    floor: bool = True,
    protocol: str = "corrected",
    energy: str | None = None,
    threads: int | None = None,
) -> Result:
    """Return the scores of one ensemble against molecular dynamics of the same protein.

    Atoms are matched by sequence, residue and atom name. Hydrogens, waters, ions and ligands are left out. Lengths are
    in angstrom; trajectories of mdtraj are converted.

    Args:
        ensemble: The model's conformations: a path, an ``ebabench.Ensemble``, an ``mdtraj.Trajectory``, or a Universe
            or AtomGroup of MDAnalysis (``pip install ebabench[mdanalysis]``). All frames count.
        reference: Molecular dynamics: one of the same kinds for one replica, a list of them for several, an
            ``ebabench.Reference``, or a folder ``X`` with ``X.pdb`` and its trajectories as in ATLAS.
        metrics: Keys (``"rmsf_r"``), families (``"flexibility"``) or ``Metric`` objects; all by default.
        native: The structure onto which all frames are superposed; by default the first frame of the first replica.
        name: Name of the target; by default that of the ensemble or its file.
        floor: Also score each replica against the others, as the noise floor. It needs two replicas.
        protocol: "corrected"; "alphaflow" for the published scorer with its faults; "symmetric" names equivalent atoms
            as the native structure does.
        energy: The energy protocol for metrics of energy, for instance ``"amber99sbildn-obc"``; by default there are
            no energies.
        threads: The number of threads; one per core by default.

    Raises:
        InputError: Something cannot be read, or ensemble and reference are not of the same protein.
        RunError: A metric breaks its contract.

    Example:
        >>> import ebabench
        >>> reference = ebabench.load_suite("peptides-v1").reference("KLED")
        >>> model = ebabench.load_model("static").sample(reference.target, samples=20, seed=1)
        >>> result = ebabench.score(model, reference, metrics=["rmsf", "rmsf_r"], floor=False)
        >>> sorted(result.values), list(result.profiles)
        (['rmsf_r'], ['rmsf', 'md_rmsf'])
    """
    who = name or name_of(ensemble, reference)
    if energy is not None:
        from ebabench.physics.protocols import get_protocol

        get_protocol(str(energy))
    selection = select_metrics(metrics)
    md = as_reference(reference, who, native)
    model = as_ensemble(ensemble, who, md.target.sequence)
    pair = make_pair(model, md, protocol=protocol, energy_protocol=energy)
    with single_threaded_libraries():
        record = score_pair(
            pair,
            model,
            md,
            selection.metrics,
            with_floor=floor,
            threads=threads or cores(),
            uncached=selection.own,
        )
    return Result(record, tuple(selection.per_target), pair.atoms, pair.residue_index, _no_floor(md, floor))


def _no_floor(reference: Reference, asked: bool) -> str:
    if not asked:
        return "it was not asked for"
    return "" if len(reference.replicas) > 1 else "the reference has one replica; a floor needs two"
