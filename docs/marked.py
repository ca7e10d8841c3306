"""The part of a page between two marks, which a program writes."""

from __future__ import annotations


def with_part(page: str, begin: str, end: str, part: str) -> str:
    """This page, with this part between its marks."""
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{part}\n{end}{after}"
