"""Molecular dynamics as others lay it out: ATLAS, mdCATH, Timewarp, any trajectories, or a TOML that lists them."""

from ebabench.datasets.reference_layouts.find import FoundReferences, find_references

__all__ = ["FoundReferences", "find_references"]
