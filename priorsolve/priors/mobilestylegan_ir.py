"""The tensors of MobileStyleGAN out of the OpenVINO files that carry it, under the names of `MobileStyleGAN.state_dict()`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.openvino import Graph, read_ir


def read_mobilestylegan(folder: str | Path) -> dict[str, Tensor]:
    """The state of the network in `MappingNetwork.xml` and `SynthesisNetwork.xml` (with their .bin) in `folder`, float32.

    Constants whose names the export lost are found by walking the graph from those that kept theirs.

    Raises:
        CheckpointError: a file is missing, damaged or holds another network.
    """
    folder = Path(folder)
    state = _mapping(read_ir(folder / "MappingNetwork.xml")) | _synthesis(read_ir(folder / "SynthesisNetwork.xml"))
    return {key: value.to(torch.float32).contiguous() for key, value in state.items()}


def _mapping(graph: Graph) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    products = [layer for layer in graph.layers.values() if layer.type == "MatMul"]
    for k, product in enumerate(products):
        state[f"mapping.layers.{k}.weight"] = _operand(graph, product.id)
        # the bias, a Const, is reshaped before it is added
        added = graph.next(product, "Add")
        shaped = [graph.layers[source] for source in added.inputs if graph.layers[source].type == "Reshape"]
        if len(shaped) != 1:
            raise CheckpointError(f"MappingNetwork.xml: {added.name} has {len(shaped)} reshaped inputs, expected one, the bias")
        state[f"mapping.layers.{k}.bias"] = _operand(graph, shaped[0].id)
    return state


def _synthesis(graph: Graph) -> dict[str, Tensor]:
    names = [layer.name for layer in graph.layers.values() if layer.constant is not None]
    count = sum(1 for name in names if name.startswith("m.layers.") and name.endswith(".up.modulation.weight"))
    state = {"first.input": graph.constant("m.input.input")[0]}
    modulations = ["m.conv1.conv.modulation"]
    convolution = graph.follow("m.input.input", "Broadcast", "Tile", "Multiply", "Convolution")
    state["first.weight"] = _operand(graph, convolution.id) * _scale(graph, modulations[0])
    state |= _finish(graph, convolution.id, "first")
    for k in range(count):
        modulations += [f"m.layers.{k}.{part}.modulation" for part in ("up", "conv1.conv", "conv2.conv")]
        for part, factor in (("conv1", 0.5), ("conv2", 1.0)):  # ½ of the Haar transform in front of conv1
            name, key = f"m.layers.{k}.{part}.conv", f"layers.{k}.{part}"
            depthwise = graph.follow(f"{name}.weight_dw", "GroupConvolution")
            convolution = graph.next(depthwise, "Convolution")
            state[f"{key}.depthwise"] = graph.constant(f"{name}.weight_dw")[:, 0] * (factor * _scale(graph, f"{name}.modulation"))
            state[f"{key}.pointwise"] = _operand(graph, convolution.id)
            state |= _finish(graph, convolution.id, key)
    head = f"m.layers.{count - 1}.to_img"
    modulations.append(f"{head}.conv.modulation")
    state["head.weight"] = graph.constant(f"{head}.conv.weight") * (0.5 * _scale(graph, modulations[-1]))
    state["head.bias"] = graph.constant(f"{head}.bias").flatten() * 0.5
    state["styles.weight"] = torch.cat([graph.constant(f"{name}.weight") for name in modulations])
    state["styles.bias"] = torch.cat([graph.constant(f"{name}.bias").flatten() for name in modulations])
    return state


def _finish(graph: Graph, convolution: int, key: str) -> dict[str, Tensor]:
    """The noise map and the bias, added one after the other."""
    noise = graph.next(graph.layers[convolution], "Add")
    bias = graph.next(noise, "Add")
    return {f"{key}.finish.noise": _operand(graph, noise.id)[0, 0], f"{key}.finish.bias": _operand(graph, bias.id).flatten()}


def _scale(graph: Graph, modulation: str) -> Tensor:
    """What the style of `modulation` is multiplied by before the features are."""
    factor = graph.follow(f"{modulation}.weight", "MatMul", "Add", "Reshape", "Multiply")
    return _operand(graph, factor.id).flatten()


def _operand(graph: Graph, layer: int) -> Tensor:
    constant = graph.operand(graph.layers[layer])
    if constant is None:
        raise CheckpointError(f"layer {graph.layers[layer].name} has no constant operand; it is not the MobileStyleGAN known here")
    return constant
