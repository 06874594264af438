"""Suites, references and the layouts in which they lie on disk."""

DEFAULT_SUITE = "peptides-v2"
