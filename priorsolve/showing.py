"""How an error names a value."""

from __future__ import annotations


def shown(value: object) -> str:
    """A value as an error names it: as it is where it is short, else by its kind."""
    text = repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"
