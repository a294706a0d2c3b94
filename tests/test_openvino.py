"""The IR reader on a graph made here, and on what a hostile or broken file may hold."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch

from priorsolve.priors import CheckpointError
from priorsolve.priors.openvino import read_ir

NUMBERS = struct.pack("<6f", 1, 2, 3, 4, 5, 6) + struct.pack("<2q", -7, 8)
GRAPH = """<?xml version="1.0" ?>
<net name="tiny" version="10">
  <layers>
    <layer id="0" name="x" type="Parameter"/>
    <layer id="1" name="weight" type="Const"><data element_type="f32" shape="2, 3" offset="0" size="24"/></layer>
    <layer id="2" name="axes" type="Const"><data element_type="i64" shape="2" offset="24" size="16"/></layer>
    <layer id="3" name="scalar" type="Const"><data element_type="f32" shape="" offset="4" size="4"/></layer>
    <layer id="4" name="product" type="MatMul"/>
    <layer id="5" name="sum" type="Add"/>
  </layers>
  <edges>
    <edge from-layer="1" from-port="0" to-layer="4" to-port="1"/>
    <edge from-layer="0" from-port="0" to-layer="4" to-port="0"/>
    <edge from-layer="4" from-port="2" to-layer="5" to-port="0"/>
    <edge from-layer="3" from-port="0" to-layer="5" to-port="1"/>
  </edges>
</net>
"""


def written(folder: Path, text: str = GRAPH, numbers: bytes = NUMBERS) -> Path:
    path = folder / "tiny.xml"
    path.write_text(text, encoding="utf-8")
    path.with_suffix(".bin").write_bytes(numbers)
    return path


def test_constants_and_edges(tmp_path: Path) -> None:
    graph = read_ir(written(tmp_path))
    assert torch.equal(graph.constant("weight"), torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    assert torch.equal(graph.constant("axes"), torch.tensor([-7, 8]))
    assert graph.constant("scalar").item() == 2
    assert graph.layers[4].inputs == (0, 1)
    end = graph.follow("weight", "MatMul", "Add")
    assert (end.name, graph.operand(end)) == ("sum", graph.constant("scalar"))
    assert graph.operand(graph.layers[0]) is None


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    graph = read_ir(written(tmp_path))
    with pytest.raises(CheckpointError, match=r"tiny\.xml: has no constant 'bias'"):
        graph.constant("bias")
    with pytest.raises(CheckpointError, match="weight feeds 0 layers Add"):
        graph.follow("weight", "Add")


BILLION = '<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('<net name="tiny"', f'{BILLION}<net name="&b;"', "DOCTYPE"),
        ('<net name="tiny"', '<!DOCTYPE net SYSTEM "other.dtd"><net name="tiny"', "DOCTYPE"),
        ('offset="24"', 'offset="25"', "constant axes lies at bytes 25 to 41, the .bin has 40"),
        ('offset="24"', 'offset="-8"', "bytes -8 to 8"),
        ('shape="2, 3"', 'shape="2, 3000000000"', "declares 24 bytes"),
        ('shape="2, 3"', 'shape="-2, -3"', "declares 24 bytes"),
        ('element_type="f32" shape="2, 3"', 'element_type="u1" shape="2, 3"', "element type u1"),
        ('size="24"', 'size="many"', "not a readable IR graph"),
        ('to-layer="5" to-port="0"', 'to-layer="9" to-port="0"', "edge from layer 4 to layer 9"),
        ('id="5"', 'id="4"', "two layers with one id"),
        ('version="10"', 'version="11"', "version 11, expected an IR <net> of version 10"),
        ("</net>", "", "not a readable IR graph"),
        ('name="sum" ', "", "a <layer> has no 'name'"),
    ],
)
def test_hostile_and_broken_graphs_are_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GRAPH
    with pytest.raises(CheckpointError) as caught:
        read_ir(written(tmp_path, GRAPH.replace(old, new)))
    assert words in str(caught.value)
    assert "tiny.xml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_doctype_in_another_encoding_is_refused_too(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(GRAPH.replace('version="1.0" ?>', f'version="1.0" encoding="utf-16" ?>{BILLION}').encode("utf-16"))
    with pytest.raises(CheckpointError, match="DOCTYPE"):
        read_ir(path)


def test_a_truncated_bin_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"bytes 24 to 40, the \.bin has 30"):
        read_ir(written(tmp_path, numbers=NUMBERS[:30]))
    (tmp_path / "tiny.bin").unlink()
    with pytest.raises(CheckpointError, match=r"tiny\.bin: cannot be read"):
        read_ir(tmp_path / "tiny.xml")
    with pytest.raises(CheckpointError, match=r"other\.xml: cannot be read"):
        read_ir(tmp_path / "other.xml")
