"""Check the fields of cards and suites: ``python .ci/check_schemas.py FILE.toml...``. Nothing in a file is executed."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from ebabench.datasets.suites import load_suite
from ebabench.errors import InputError
from ebabench.generators.cards import load_card


def fault(path: Path) -> str | None:
    """Return what is wrong with a card or a suite, or None. A suite is a file that names targets."""
    try:
        kind = load_suite if "targets" in tomllib.loads(path.read_text(encoding="utf-8")) else load_card
        kind(str(path))
    except (InputError, tomllib.TOMLDecodeError, OSError) as error:
        return f"{path}: {error}" if str(path) not in str(error) else str(error)
    return None


if __name__ == "__main__":
    faults = [found for name in sys.argv[1:] if (found := fault(Path(name)))]
    print("\n".join(faults) or f"{len(sys.argv) - 1} files are complete", file=sys.stderr if faults else sys.stdout)
    sys.exit(bool(faults))
