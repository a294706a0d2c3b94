"""YAML as people write it: `1e-3` is a number, a key given twice is a mistake, and every place has a line."""

from __future__ import annotations

import re
from typing import Any

import yaml

Place = tuple[str | int, ...]
"""The way to a value: `("solver", 0, "latent", "steps")`."""


class _Loader(yaml.SafeLoader):
    """Safe loading with YAML 1.2's numbers, in which 010 is ten and 1:30 a text."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (LookupError, AttributeError):  # such as of `!!bool maybe`
            raise _slip(f"{node.value!r} is no {node.tag.rpartition(':')[2]}", node) from None
        except ValueError as error:  # such as of the date 2024-13-45
            raise _slip(str(error), node) from None


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back, a text such as "1e3" in quotes; also those that only older YAML takes for numbers."""


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


_WHOLE, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_NUMBERS = {
    _WHOLE: re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"),
    _FLOAT: re.compile(r"^(?:[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"),
}
"""The first that a text is of counts."""
_Loader.yaml_implicit_resolvers = {
    first: [(tag, texts) for tag, texts in known if tag not in _NUMBERS] for first, known in _Loader.yaml_implicit_resolvers.items()
}
for _either in (_Loader, _Dumper):
    for _tag, _texts in _NUMBERS.items():
        _either.add_implicit_resolver(_tag, _texts, list("-+.0123456789"))
_Loader.add_constructor(_WHOLE, _whole)

MOST_PLACES = 10_000
"""Places in a document; one that grows beyond by its aliases was made to fill the memory."""


def parse(text: str) -> Any:
    """The value that `text` spells. Raises yaml.YAMLError."""
    return read(text)[0]


def read(text: str) -> tuple[Any, dict[Place, int]]:
    """The document and the line of every place in it, counted from 1. Raises yaml.YAMLError."""
    lines: dict[Place, int] = {}
    try:
        node = yaml.compose(text, _Loader)
        if node is not None:
            _walk(node, (), lines)
        return yaml.load(text, _Loader), lines
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply, or holds itself") from None


def dump(data: Any) -> str:
    """The text that `parse` reads as `data`, keys in their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def problem(error: yaml.YAMLError) -> str:
    """What is wrong and on which line, in one line."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"line {mark.line + 1}: {what}" if mark else str(what)


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int]) -> None:
    lines[place] = node.start_mark.line + 1
    if len(lines) > MOST_PLACES:
        raise yaml.YAMLError(f"it holds more than {MOST_PLACES} values")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*place, _name(key, value))
            if below in lines:
                raise _slip(f"the key {key.value!r} stands here twice", key)
            _walk(value, below, lines)
            lines[below] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*place, index), lines)


def _name(key: yaml.Node, value: yaml.Node) -> str:
    """The key's name, of which the value is this."""
    if not isinstance(key, yaml.ScalarNode):
        raise _slip("a key is a word, not a list or braces; quote one that has such signs in it", key)
    if key.value.isdigit() and isinstance(value, yaml.ScalarNode) and not value.value:  # `lr: 0,1` in braces
        raise _slip(f"{key.value} stands here alone; a decimal comma? write a point", key)
    return str(key.value)


def _slip(what: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)
