"""What was read of a target and what was not, as one line."""

from __future__ import annotations

from collections import Counter

from ebabench.io.layouts.reading import rejected
from ebabench.io.layouts.source import Source

_REASONS = 3


def told(source: Source) -> str:
    """Return from how many files a source is read, its layout, and what is left out.

    Args:
        source: Where the conformations lie.

    Example:
        >>> from pathlib import Path
        >>> from ebabench.io.layouts import LeftOut, Part
        >>> best = LeftOut(Path("x_model.cif"), "the best sample again")
        >>> told(Source("AlphaFold 3", ("x",), (Part(Path("a.cif")), Part(Path("b.cif"))), (best,)))
        '2 files (AlphaFold 3); left out: x_model.cif (the best sample again)'
    """
    text = f"{count(len(source.parts), 'file')} ({source.layout})"
    frames = rejections(source)
    if frames:
        said = ", ".join(f"{number} {reason}" for reason, number in frames.most_common(_REASONS))
        text += f"; left out: {count(frames.total(), 'frame')} that the generator rejects ({said})"
    reasons = Counter(one.reason for one in source.left_out)
    first = {one.reason: one.path.name for one in reversed(source.left_out)}
    for reason, number in reasons.most_common(_REASONS):
        text += f"; left out: {first[reason]}{f' and {number - 1} more' * (number > 1)} ({reason})"
    return text


def rejections(source: Source) -> Counter[str]:
    """Return how many frames the reports of a source reject, by reason."""
    reports = {part.report for part in source.parts if part.report is not None}
    return Counter(reason for report in sorted(reports) for reason in rejected(report).values())


def count(number: int, what: str) -> str:
    """Return a number with its noun.

    Example:
        >>> count(1, "file"), count(2, "file")
        ('1 file', '2 files')
    """
    return f"{number} {what}{'s' * (number != 1)}"
