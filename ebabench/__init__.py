"""ebabench: which generative model samples a protein's conformations as molecular dynamics does?"""

from pathlib import Path

__version__ = "0.1.0"

# In a clone, models/, metrics/ and leaderboards/ lie beside this folder. An installation has them inside it.
_root = Path(__file__).parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "metrics" / "__init__.py").is_file():
    __path__.append(str(_root))

__path__.append(str(Path(__file__).parent / "deprecated"))  # import paths of version 0.1
