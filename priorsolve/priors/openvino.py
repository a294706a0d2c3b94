"""Named constants out of an OpenVINO IR (version 10: an XML graph beside a file of raw numbers); nothing is run, OpenVINO is not needed.

The format is described as "Intermediate Representation" in OpenVINO's documentation: every layer has an id, a name and a type, a
`Const` says where in the .bin its numbers lie, and `edges` connect ports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final
from xml.etree import ElementTree

import torch
from torch import Tensor

from priorsolve.priors.errors import FAILURES, CheckpointError, in_one_line

_XML_LIMIT = 16 << 20
_LAYER_LIMIT = 20_000
_TYPES = {
    **{"f32": torch.float32, "f16": torch.float16, "f64": torch.float64},
    **{"i64": torch.int64, "i32": torch.int32, "i8": torch.int8, "u8": torch.uint8},
}


@final
@dataclass(frozen=True)
class Layer:
    """One node of the graph."""

    id: int
    name: str
    type: str
    inputs: tuple[int, ...]
    """The ids of the layers that feed it, by port."""
    constant: Tensor | None
    """The numbers of a `Const`, in the type they were stored in."""


@final
class Graph:
    """The layers of an IR and what feeds what. Build one with `read_ir`."""

    def __init__(self, layers: Mapping[int, Layer], where: str) -> None:
        self.layers = dict(layers)
        self._where = where
        self._by_name = {layer.name: layer for layer in layers.values()}
        self._fed: dict[int, list[Layer]] = {}
        for layer in layers.values():
            for source in layer.inputs:
                self._fed.setdefault(source, []).append(layer)

    def constant(self, name: str) -> Tensor:
        """The numbers of the `Const` called `name`. Raises CheckpointError where there is none."""
        layer = self._by_name.get(name)
        if layer is None or layer.constant is None:
            raise CheckpointError(f"{self._where}: has no constant {name!r}; it is not the network expected here")
        return layer.constant

    def follow(self, name: str, *types: str) -> Layer:
        """The layer reached from `name` by going, step by step, to the one layer of each of `types` that it feeds."""
        self.constant(name)
        layer = self._by_name[name]
        for kind in types:
            layer = self.next(layer, kind)
        return layer

    def next(self, layer: Layer, kind: str) -> Layer:
        """The one layer of type `kind` that `layer` feeds. Raises CheckpointError where there is none or more than one."""
        found = [fed for fed in self._fed.get(layer.id, []) if fed.type == kind]
        if len(found) != 1:
            raise CheckpointError(
                f"{self._where}: {layer.name} feeds {len(found)} layers {kind}, not 1; it is not the network expected here"
            )
        return found[0]

    def operand(self, layer: Layer) -> Tensor | None:
        """The constant among what feeds `layer`; None where all of it is computed."""
        constants = [self.layers[source].constant for source in layer.inputs]
        return next((constant for constant in constants if constant is not None), None)


def read_ir(path: str | Path) -> Graph:
    """The graph of the .xml at `path`, its constants out of the .bin of the same name beside it.

    Raises:
        CheckpointError: not an IR of version 10, a DOCTYPE (which could expand without end), a size or offset that the .bin does not
            hold, an edge to nowhere; one line with the file, what is wrong and the way out.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _XML_LIMIT:
            raise CheckpointError(f"has more than {_XML_LIMIT >> 20} MiB, no graph known is so large; check the file")
        text, numbers = path.read_bytes(), path.with_suffix(".bin").read_bytes()
        return Graph(_layers(_parsed(text), numbers), str(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"{error.filename}: cannot be read ({reason}); an IR is a .xml and a .bin side by side") from None
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {in_one_line(error)}") from None
    except (ElementTree.ParseError, *FAILURES) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise CheckpointError(f"{path}: is not a readable IR graph ({reason}); download it again") from None


class _Builder(ElementTree.TreeBuilder):
    """A tree builder that stops at a DOCTYPE, before any entity is declared."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise CheckpointError("declares a DOCTYPE, which an IR never has and which could fill the memory; use a file from its maker")


def _parsed(text: bytes) -> ElementTree.Element:
    root = ElementTree.fromstring(text, ElementTree.XMLParser(target=_Builder()))
    version = root.get("version")
    if root.tag != "net" or version != "10":
        raise CheckpointError(f"is <{root.tag[:40]}> of version {version}, expected an IR <net> of version 10; export it with that version")
    return root


def _layers(root: ElementTree.Element, numbers: bytes) -> dict[int, Layer]:
    elements = root.findall("layers/layer")
    if not 0 < len(elements) <= _LAYER_LIMIT:
        raise CheckpointError(f"has {len(elements)} layers, expected 1 to {_LAYER_LIMIT}; check the file")
    names = {int(_need(element, "id")): element for element in elements}
    if len(names) != len(elements):
        raise CheckpointError("has two layers with one id; the file is damaged")
    fed: dict[int, dict[int, int]] = {}
    for edge in root.findall("edges/edge"):
        source, target = int(_need(edge, "from-layer")), int(_need(edge, "to-layer"))
        if source not in names or target not in names:
            raise CheckpointError(f"has an edge from layer {source} to layer {target}, which do not both exist; the file is damaged")
        fed.setdefault(target, {})[int(_need(edge, "to-port"))] = source
    return {
        key: Layer(
            id=key,
            name=_need(element, "name"),
            type=_need(element, "type"),
            inputs=tuple(source for _, source in sorted(fed.get(key, {}).items())),
            constant=_constant(element, numbers) if element.get("type") == "Const" else None,
        )
        for key, element in names.items()
    }


def _constant(element: ElementTree.Element, numbers: bytes) -> Tensor:
    name = _need(element, "name")[:80]
    data = element.find("data")
    if data is None:
        raise CheckpointError(f"constant {name} says nothing about its data; the file is damaged")
    kind, offset, size = _need(data, "element_type"), int(_need(data, "offset")), int(_need(data, "size"))
    shape = [int(number) for number in _need(data, "shape").split(",") if number.strip()]
    if kind not in _TYPES:
        raise CheckpointError(f"constant {name} has element type {kind[:20]}, known are {', '.join(_TYPES)}; export it in float32")
    dtype = _TYPES[kind]
    if any(number < 0 for number in shape) or math.prod(shape) * dtype.itemsize != size:
        raise CheckpointError(f"constant {name} of shape {shape} and type {kind} declares {size} bytes; the file is damaged")
    if offset < 0 or offset + size > len(numbers):
        raise CheckpointError(
            f"constant {name} lies at bytes {offset} to {offset + size}, the .bin has {len(numbers)}; it is cut short, download it again"
        )
    if size == 0:
        return torch.zeros(shape, dtype=dtype)
    # the bytes are copied: a tensor over a read-only buffer could be written to
    return torch.frombuffer(bytearray(numbers[offset : offset + size]), dtype=dtype).reshape(shape)


def _need(element: ElementTree.Element, key: str) -> str:
    value = element.get(key)
    if value is None:
        raise CheckpointError(f"a <{element.tag[:40]}> has no {key!r}; the file is damaged")
    return value
