"""Moved to ``ebabench.training``."""
