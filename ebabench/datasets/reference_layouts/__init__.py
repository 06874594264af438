"""Molecular dynamics as others lay it out: ATLAS, mdCATH, Timewarp, any trajectories, or a TOML that lists them."""

from ebabench.datasets.reference_layouts.find import References, find_references

__all__ = ["References", "find_references"]
