"""Where things that can be made again are kept."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """``$EBABENCH_CACHE``, else the platform's user cache folder. Not created here."""
    chosen = os.environ.get("EBABENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("ebabench", appauthor=False))
