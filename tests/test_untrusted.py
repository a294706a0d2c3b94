"""What a hostile file may not do beyond its own reading: change the reader, or write to a terminal."""

from __future__ import annotations

import argparse
import ast
import io
import pathlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from nvidia_support import nvidia_pickle
from style_support import style2_state

import priorsolve
from priorsolve.priors import CheckpointError, load_prior, read_state
from priorsolve.priors.inert import Dtype, Inert
from priorsolve.priors.unpickle import _ALLOWED, _PACKED, _Easy, nowhere, unpickle

CLASSES = (_Easy, Inert, Dtype)
FILL = b"(dV__new__\ncargparse\nNamespace\ns"
"""A dict that would replace what makes an object."""
BUILDS = {"attributes": FILL + b"b0}.", "slots": b"(N" + FILL + b"tb0}."}


@pytest.mark.parametrize("name", sorted(_ALLOWED.keys() - {_PACKED}))
@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_no_name_that_is_allowed_can_be_changed(name: str, build: bytes) -> None:
    before = [dict(vars(each)) for each in CLASSES]
    module, _, attribute = name.rpartition(".")
    with pytest.raises(CheckpointError, match="is damaged"):
        unpickle(io.BytesIO(f"c{module}\n{attribute}\n".encode() + build), nowhere)
    assert [dict(vars(each)) for each in CLASSES] == before


def test_nor_can_what_is_made_of_one() -> None:
    for build in BUILDS.values():
        made = unpickle(io.BytesIO(b"cdnnlib.util\nEasyDict\n)\x81" + build.replace(b"0}.", b".")), nowhere)
        assert (type(made), vars(made)) == (_Easy, {})


def test_a_good_file_reads_after_a_hostile_one(tmp_path: Path) -> None:
    hostile, good = tmp_path / "hostile.pkl", tmp_path / "good.pkl"
    hostile.write_bytes(b"cdnnlib.util\nEasyDict\n" + BUILDS["slots"])
    good.write_bytes(nvidia_pickle(style2_state()))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_prior(hostile)
    assert load_prior(good).image_shape == (3, 16, 16)


@pytest.mark.parametrize("kind", [pathlib.PurePosixPath, pathlib.PureWindowsPath, type(Path())])
def test_paths_among_the_arguments_of_a_training_are_no_code(kind: type[Any], tmp_path: Path) -> None:
    state = {"main.0.weight": torch.ones(2, 1, 4, 4)}
    content = {"args": argparse.Namespace(out=kind("runs/1")), "g_ema": state}
    torch.save(content, tmp_path / "training.pt")
    assert list(read_state(tmp_path / "training.pt")) == ["main.0.weight"]
    newer = pickle.dumps(kind("runs/1"), 0).replace(b"cpathlib\n", b"cpathlib._local\n")
    assert isinstance(unpickle(io.BytesIO(newer), nowhere), Inert)


def test_what_a_file_holds_is_not_checked_by_assert() -> None:
    """python -O leaves asserts out. Those below tell mypy a type, or hold a formula to itself."""
    root = Path(priorsolve.__file__).parent
    readers = [*root.joinpath("priors").glob("*.py"), root / "losses" / "weights.py"]
    asserting = {path.name for path in readers for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Assert)}
    assert asserting == {"inert.py", "stylegan2.py", "stylegan3.py", "stylegan3_layers.py"}


@pytest.mark.parametrize("name", ["\x1b[31mred\x07", "\u202egnp.exe", "n" * 2_000_000], ids=["escape", "right to left", "long"])
def test_names_in_a_file_do_not_write_to_the_terminal(tmp_path: Path, name: str) -> None:
    """Nor fill it: what is wrong and the way out are still there."""
    torch.save({name: torch.zeros(1), "another": torch.zeros(1)}, tmp_path / "named.pt")
    with pytest.raises(CheckpointError, match=r"no known generator layout matches.*; known are .*Decoder$") as told:
        load_prior(str(tmp_path / "named.pt"))
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 1200 + len(str(tmp_path))
