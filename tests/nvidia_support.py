"""Files as NVIDIA's programs pickle them, written without NVIDIA's programs."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from torch import Tensor

SOURCE = "raise RuntimeError('checkpoint code was executed')"


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
    raise AssertionError("only its name is pickled")


# pickle looks a name up where its owner says it is
_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
EasyDict = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})


class _Persistent:
    def __init__(self, name: str, state: dict[str, Any]) -> None:
        self._meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": name, "state": state}

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reconstruct_persistent_obj, (self._meta,))


def _modules() -> dict[str, ModuleType]:
    """NVIDIA's modules, as far as pickle looks for them."""
    modules = {name: ModuleType(name) for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")}
    vars(modules["torch_utils.persistence"])["_reconstruct_persistent_obj"] = _reconstruct_persistent_obj
    vars(modules["dnnlib.util"])["EasyDict"] = EasyDict
    return modules


def records(state: Mapping[str, Tensor], attributes: Mapping[str, Mapping[str, Any]]) -> _Persistent:
    """A generator's nested modules, of dotted tensor names; `attributes` by dotted module name."""
    root: dict[str, Any] = {}
    for key in state:
        node = root
        for part in key.split(".")[:-1]:
            node = node.setdefault(part, {})

    def module(name: str, children: dict[str, Any]) -> _Persistent:
        own = {key.rsplit(".", 1)[-1]: value for key, value in state.items() if key.rpartition(".")[0] == name}
        kinds = {"conv0": "SynthesisLayer", "conv1": "SynthesisLayer"}
        state_dict = {
            "training": False,
            "_parameters": {},
            "_buffers": own,
            "_non_persistent_buffers_set": set(),
            "_modules": {part: module(f"{name}.{part}".lstrip("."), inner) for part, inner in children.items()},
            "_init_kwargs": EasyDict(seed=1),
            "w_avg_beta": np.float64(0.995),
            **attributes.get(name, {}),
        }
        return _Persistent(kinds.get(name.rsplit(".", 1)[-1], "Module"), state_dict)

    return module("", root)


def nvidia_pickle(
    state: Mapping[str, Tensor], attributes: Mapping[str, Mapping[str, Any]] | None = None, protocol: int = 4, **more: Any
) -> bytes:
    """The bytes of a snapshot whose G_ema has these tensors."""
    with mock.patch.dict(sys.modules, _modules()):
        content = {"G": None, "D": None, "G_ema": records(state, attributes or {}), "training_set_kwargs": EasyDict(path="x"), **more}
        return pickle.dumps(content, protocol)
