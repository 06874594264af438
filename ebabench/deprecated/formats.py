"""Moved to ``ebabench.io``."""

from ebabench.deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "read_structure": "ebabench.io.structure_files",
        "read_ensemble": "ebabench.io.structure_files",
        "read_topology": "ebabench.io.structure_files",
        "write_ensemble": "ebabench.io.structure_files",
        "write_pdb": "ebabench.io.structure_files",
    },
)
