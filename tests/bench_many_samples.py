"""``python tests/bench_many_samples.py FOLDER [SAMPLES]``: the work for timing an ensemble of many conformations.

A peptide of 30 residues with synthetic motion: three replicas of 10,001 frames in ``FOLDER/md``, and a model of 10,000
conformations (or SAMPLES) in ``FOLDER/models``. docs/lab-notes/speed.md has the command that is timed, and its result.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mdtraj
from proteins import build, wobble

from ebabench.io.structure_files import write_ensemble, write_pdb
from ebabench.structures import Ensemble

NAME, SEQUENCE, FRAMES = "peptide", "GSLMKNFVIVDLLASMKVLFWEKLLAHIVD", 10_001


def main(folder: Path, samples: int) -> None:
    """Write the reference and the model."""
    target = build(SEQUENCE)
    md, models = folder / "md" / NAME, folder / "models"
    md.mkdir(parents=True)
    models.mkdir()
    write_pdb(Ensemble(NAME, target.atoms, target.native[None]), md / f"{NAME}.pdb")
    for number in (1, 2, 3):
        with mdtraj.formats.XTCTrajectoryFile(str(md / f"{NAME}_prod_R{number}_fit.xtc"), "w") as file:
            file.write(wobble(target, FRAMES, number, 1.0, 0.1) / 10)
    write_ensemble(Ensemble(NAME, target.atoms, wobble(target, samples, 9, 1.3, 0.1)), models / f"{NAME}.npz")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
