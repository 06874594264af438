"""The metrics: one module a family. Installed as ``ebabench.metrics``."""
