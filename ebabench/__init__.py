"""ebabench: which generative model samples a protein's conformations as molecular dynamics does?"""

__version__ = "0.1.0"
