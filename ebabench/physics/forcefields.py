"""OpenMM's force fields, cut down to what proteins need where the whole one is slow to apply."""

from __future__ import annotations

from functools import lru_cache
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

from openmm import app

from ebabench.physics.molecules import CAPS, standard_residue_name

# CHARMM's patches of chain ends, caps and protonation. Others (esters, phosphates, substituted rings) make residues
# that `ebabench.physics.molecules` has no names for.
_PATCHES = frozenset(
    {"NTER", "GLYP", "PROP", "ACE", "NNEU", "NGNE", "CTER", "CNEU", "CT2", "CT3", "ASPP", "GLUP", "LSN", "HS2", "CYSD"}
)


@lru_cache(maxsize=8)
def forcefield(files: tuple[str, ...]) -> app.ForceField:
    """Return the force field in OpenMM's ``files``.

    A force field with patches (CHARMM) has only its amino acids and what these use. To find the template of a terminal
    residue, OpenMM applies every combination of patches to every template, and it looks for every angle among all
    Urey-Bradley terms: of the whole of CHARMM36 this takes 2 to 8 s per molecule.

    Args:
        files: names relative to OpenMM's data folder.
    """
    folder = Path(app.__file__).parent / "data"
    contents: list[str | StringIO] = []
    for file in files:
        root = ElementTree.parse(folder / file).getroot()
        if root.find("Patches") is None:
            contents.append(file)
        else:
            _keep_amino_acids(root)
            contents.append(StringIO(ElementTree.tostring(root, encoding="unicode")))
    return app.ForceField(*contents)


def _keep_amino_acids(root: ElementTree.Element) -> None:
    types = set()
    for residue in list(root.iterfind("Residues/Residue")):
        if standard_residue_name(residue.attrib["name"]) in {None, *CAPS}:
            _child(root, "Residues").remove(residue)
            continue
        for allowed in residue.findall("AllowPatch"):
            if allowed.get("name") not in _PATCHES:
                residue.remove(allowed)
        types |= {atom.get("type") for atom in residue.iterfind("Atom")}
    for patch in root.iterfind("Patches/Patch"):
        types |= {atom.get("type") for atom in patch if atom.get("type")}
    springs = _child(root, "AmoebaUreyBradleyForce")
    for spring in list(springs):
        if not {spring.attrib[f"type{k}"] for k in (1, 2, 3)} <= types:
            springs.remove(spring)


def _child(root: ElementTree.Element, name: str) -> ElementTree.Element:
    child = root.find(name)
    assert child is not None, name
    return child
