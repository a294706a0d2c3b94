from __future__ import annotations

import gc
import io
import pickle
import struct
import weakref
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nvidia_support import nvidia_pickle, records
from style_support import WIDTHS, style2_picture, style2_state
from torch import nn

from priorsolve.priors import CheckpointError, StyleGAN2, load_prior, read_checkpoint, read_state
from priorsolve.priors import unpickle as unpickling
from priorsolve.priors.errors import told
from priorsolve.priors.fir import binomial
from priorsolve.priors.inert import Array, Dtype, Fixed, Inert, Storage, View
from priorsolve.priors.legacy import packed
from priorsolve.priors.unpickle import _Unpickler, nowhere, unpickle

STATE = style2_state()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_snapshot_gives_its_averaged_generator(protocol: int, tmp_path: Path) -> None:
    attributes: dict[str, dict[str, Any]] = {
        "synthesis.b4": {"architecture": "skip"},
        "synthesis.b4.conv1": {"conv_clamp": 3, "activation": "lrelu"},
        "mapping.fc0": {"bias_gain": 0.5},
    }
    data = nvidia_pickle(STATE, attributes, protocol)
    checkpoint = read_checkpoint(write(tmp_path / "f", data))
    assert checkpoint.state.keys() == STATE.keys()
    assert all(torch.equal(checkpoint.state[key], STATE[key]) for key in STATE)
    assert dict(checkpoint.settings) == {"lr_multiplier": 0.5, "architecture": "skip", "conv_clamp": 3}
    prior = load_prior(tmp_path / "f")
    assert isinstance(prior, StyleGAN2)
    assert prior.settings == dict(checkpoint.settings)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_snapshots_of_every_architecture_as_nvidia_writes_them(architecture: str, tmp_path: Path) -> None:
    """Every block has a filter, used or not; activations are those of its constructors."""
    state = style2_state(architecture)
    linear, lrelu = ({"activation": word} for word in ("linear", "lrelu"))
    attributes: dict[str, dict[str, Any]] = {"mapping.fc0": {**lrelu, "bias_gain": 0.01}, "mapping.fc1": dict(lrelu)}
    filters: dict[str, torch.Tensor] = {}
    for side in WIDTHS:
        attributes[f"synthesis.b{side}"] = {"architecture": architecture}
        filters[f"synthesis.b{side}.resample_filter"] = binomial()
        for layer in ("conv0", "conv1", "skip"):
            if f"synthesis.b{side}.{layer}.weight" in state:
                attributes[f"synthesis.b{side}.{layer}"] = dict(linear if layer == "skip" else lrelu)
                filters[f"synthesis.b{side}.{layer}.resample_filter"] = binomial()
    prior = load_prior(write(tmp_path / "f", nvidia_pickle(state | filters, attributes)))
    w = prior.map(prior.sample(1, torch.Generator().manual_seed(0)), source="z", target="w+")
    expected = style2_picture(state, w[0], architecture, None)
    assert torch.allclose(prior.decode(w, "w+") * 2 - 1, expected, rtol=1e-4, atol=1e-4)


def test_tensors_of_every_kind_are_read(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "a": whole.T,
        "b": whole[1:, ::2],
        "c": torch.zeros(0, 3),
        "d": nn.Parameter(whole),
        "e": whole.half(),
        "f": whole.to(torch.bfloat16),
        "g": torch.tensor(7),
        "h": torch.tensor([True, False]),
    }
    read = read_state(write(tmp_path / "f", nvidia_pickle(tensors)))
    for key, value in tensors.items():
        assert torch.equal(read[key], value)
        assert read[key].dtype == value.dtype


def test_an_activation_of_another_kind_is_named(tmp_path: Path) -> None:
    write(tmp_path / "f", nvidia_pickle(STATE, {"synthesis.b8.conv0": {"activation": "swish"}}))
    with pytest.raises(CheckpointError, match=r"synthesis\.b8\.conv0 has activation 'swish'"):
        read_state(tmp_path / "f")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"mapping": {"_modules": 3}}, "_modules of mapping"),
        ({"mapping": {"_modules": {"fc0": 3}}}, r"mapping\.fc0 is neither tensor nor module"),
        ({"mapping": {"_modules": {f"m{i}": None for i in range(9)}}}, r"mapping\.fc0\.weight is missing"),
        ({"synthesis.b4": {"architecture": ["skip"]}, "synthesis.b4.conv1": {}}, "architecture"),
        ({"synthesis.b4.conv1": {"conv_clamp": "much"}}, "conv_clamp = 'much'"),
        ({"mapping.fc0": {"bias_gain": -3}}, "lr_multiplier = -3"),
    ],
)
def test_records_that_make_no_sense(attributes: dict[str, Any], words: str, tmp_path: Path) -> None:
    write(tmp_path / "f", nvidia_pickle(STATE, attributes))
    with pytest.raises(CheckpointError, match=words):
        load_prior(tmp_path / "f")


def test_modules_that_hold_themselves_or_each_other_many_times_end(tmp_path: Path) -> None:
    inside: Any = records({"x.y": torch.zeros(2)}, {})
    for _ in range(6):
        inside = records({"x.y": torch.zeros(1)}, {"": {"_modules": dict.fromkeys("abcdefgh", inside)}})
    data = nvidia_pickle({"x.y": torch.zeros(1)}, {"": {"_modules": {"top": inside}}})
    with pytest.raises(CheckpointError, match=r"has more than|nested deeper"):
        read_state(write(tmp_path / "f", data))


def test_one_storage_seen_a_thousand_times_is_no_generator(tmp_path: Path) -> None:
    big = torch.zeros(1000)
    torch.save({"g_ema": {f"t{i}": big for i in range(2000)}}, tmp_path / "f")
    with pytest.raises(CheckpointError, match="has tensors of 8000000 bytes in a file of"):
        read_state(tmp_path / "f")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02ctorch\nFloatStorage\n}X\x05\x00\x00\x00dtypeK\x01sb.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__)s\x86b.",
        b"\x80\x02ctorch\nfloat32\n}X\x05\x00\x00\x00dtypeK\x01sb.",
        b"\x80\x02cargparse\nNamespace\n}X\x05\x00\x00\x00stateK\x01sb.",
        b"\x80\x02ccollections\nOrderedDict\n}X\x05\x00\x00\x00stateK\x01sb.",
        b"\x80\x02ctorch_utils.persistence\n_reconstruct_persistent_obj\n}X\x05\x00\x00\x00state}s\x85R}X\x01\x00\x00\x00aK\x01sb.",
    ],
)
def test_a_pickle_cannot_change_what_stands_for_names(data: bytes, tmp_path: Path) -> None:
    """Else one file could alter how the next is read."""
    with pytest.raises(CheckpointError, match="is damaged"):
        read_state(write(tmp_path / "f", data))
    assert not hasattr(Fixed, "dtype")
    assert Inert.state is None


def test_tuples_that_take_for_ever_to_hash_are_refused(tmp_path: Path) -> None:
    data = b"\x80\x04})\x94" + b"".join(b"0h%ch%c\x86\x94" % (i, i) for i in range(60)) + b"K\x01s."
    with pytest.raises(CheckpointError, match="nests deeper"):
        read_state(write(tmp_path / "f", data))
    sizes = b"\x80\x04})\x94" + b"".join(b"0ctorch\nSize\n]h%ca\x85R\x94" % i for i in range(3)) + b"K\x01s."
    with pytest.raises(CheckpointError):
        read_state(write(tmp_path / "f", sizes))


def doubled(use: bytes) -> bytes:
    """A pickle in which `use`, given as the opcode that fetches it, is a list of 2⁶⁰ empty ones: each holds the one before twice."""
    lists = b"".join(b"]q%c(h%ch%ce" % (i + 1, i, i) for i in range(60))
    return b"\x80\x02]q\x00" + lists + b"0" * 61 + use.replace(b"?", b"h\x3c") + b"."


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (b"}U\x01Gctorch_utils.persistence\n_reconstruct_persistent_obj\n}(U\nclass_name?U\x05state}u\x85Rs", "no known generator layout"),
        (b"cnumpy\ndtype\n?\x85R", "numpy array of a list"),
        (b"cnumpy\ndtype\nU\x02f4\x85RK\x03?K\x00\x87b", "byte order a list"),
        (b"]ctorch.storage\n_load_from_bytes\n?\x85Ra", "without its bytes"),
        (b"cdnnlib.tflib.network\nNetwork\n)R}U\x07version?sbq\x4dh\x4dh\x4d\x87", "version a list"),
        (
            b"cdnnlib.tflib.network\nNetwork\n)R}(U\x07versionK\x04U\tvariables]?cnumpy\nndarray\n)R\x86aubq\x4dh\x4dh\x4d\x87",
            "without a name",
        ),
    ],
)
def test_a_list_that_would_take_for_ever_to_write_out_is_not(use: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_prior(write(tmp_path / "f", doubled(use)))


def test_what_a_file_says_is_told_in_a_few_words() -> None:
    plain: tuple[object, ...] = ("x" * 50, 3, 0.5, None, True)
    assert [told(value) for value in plain] == [repr("x" * 40), "3", "0.5", "None", "True"]
    rows: tuple[object, ...] = ((2, 3), (2,), [], {}, 1 << 20_000)
    assert [told(value) for value in rows] == ["(2, 3)", "(2,)", "[]", "a dict", "a number of 20001 bits"]
    assert [told(value) for value in ([[1]], (1,) * 9)] == ["a list", "a tuple"]


def test_shapes_that_would_take_for_ever_to_multiply_are_refused() -> None:
    four, long = Dtype("f4"), 1 << 2_000_000
    for shape in ((long,) * 60, (1 << 61,) * 100_000):
        with pytest.raises(CheckpointError, match="impossible shape"):
            Array().__setstate__((1, shape, four, False, b""))
        with pytest.raises(CheckpointError, match="a tensor has shape a tuple"):
            View(Storage(torch.float32, 0, bytes), 0, shape, shape)


def test_pickles_of_millions_of_steps_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="takes more than 1000000 steps"):
        read_state(write(tmp_path / "f", b"\x80\x02" + b"N0" * 500_001 + b"N."))


def test_storages_hold_no_storages(tmp_path: Path) -> None:
    inner = pickle.dumps(torch.zeros(2), 2)
    with pytest.raises(CheckpointError, match=r"no known format|asks for"):
        packed(inner)
    with pytest.raises(CheckpointError, match="inside a storage"):
        packed(b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x00\x85R.")


@pytest.mark.parametrize("attribute", ["get", "items", "values", "keys"])
def test_attributes_of_a_dict_are_left_out(attribute: str, tmp_path: Path) -> None:
    data = pickle.dumps(STATE["mapping.w_avg"].tolist(), 2)[2:-1]
    named = b"\x80\x02ccollections\nOrderedDict\n)R(U\x01a" + data + b"u}U%c%sK\x01sb." % (len(attribute), attribute.encode())
    with pytest.raises(CheckpointError, match="no state dict under a known name; its keys are a"):
        read_state(write(tmp_path / "f", named))


def storage_bytes(filler: int) -> bytes:
    """A storage as NVIDIA's pickles hold one, and steps without effect."""
    data = io.BytesIO()
    storage = torch.storage.TypedStorage(wrap_storage=torch.zeros(1).untyped_storage(), dtype=torch.float32, _internal=True)  # type: ignore[no-untyped-call]
    torch.save(storage, data, _use_new_zipfile_serialization=False)
    version = pickle.dumps(1001, 2)
    return data.getvalue().replace(version, b"\x80\x02" + b"N0" * filler + version[2:])


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        (b"torch.storage\n_load_from_bytes", b"B%s" % (struct.pack("<I", len(storage_bytes(400))) + storage_bytes(400)) + b"\x85"),
        (b"torch\nSize", b"](" + b"N" * 1000 + b"e\x85"),
        (b"__builtin__\nset", b"](" + b"N" * 1000 + b"e\x85"),
        (b"collections\nOrderedDict", b"](" + b"]U\0aNa" * 1000 + b"e\x85"),
        (b"_codecs\nencode", b"X\xe8\x03\0\0" + b"x" * 1000 + b"\x85"),
        (
            b"numpy._core.numeric\n_frombuffer",
            b"\x96\xe8\x03\0\0\0\0\0\0" + b"x" * 1000 + b"cnumpy\ndtype\nU\x02u1\x85RM\xe8\x03\x85\x87",
        ),
    ],
    ids=["storage", "size", "set", "dict", "encode", "frombuffer"],  # a storage's bytes are another process's other ones
)
def test_the_same_numbers_are_not_gone_through_again_and_again(name: bytes, argument: bytes) -> None:
    start = b"\x80\x05c%s\nq\x00%sq\x0100" % (name, argument)
    assert unpickle(io.BytesIO(start + b"h\x00h\x01R0N."), nowhere, packed) is None
    with pytest.raises(CheckpointError, match="again and again"):
        unpickle(io.BytesIO(start + b"h\x00h\x01R0" * 200 + b"N."), nowhere, packed)


def test_who_read_a_file_holds_none_of_it_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[weakref.ref[object]] = []

    def noted(*given: Any) -> _Unpickler:
        reader = _Unpickler(*given)
        readers.append(weakref.ref(reader))
        return reader

    monkeypatch.setattr(unpickling, "_Unpickler", noted)
    gc.disable()  # else it might be gone by the next collection
    try:
        unpickle(io.BytesIO(pickle.dumps(OrderedDict(numbers=np.arange(3)))), nowhere, packed)
        assert [reader() for reader in readers] == [None]
    finally:
        gc.enable()


@pytest.mark.parametrize("name", [b"cos\nsystem\n.", b"\x80\x04\x82\x01.", b"\x80\x04\x8c\x05torch\x8c\x10serialization.os\x93."])
def test_other_names_are_refused(name: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="which is code"):
        read_state(write(tmp_path / "f", name))


def test_numpy_values_are_plain_numbers() -> None:
    content = {
        "a": np.float32(1.5),
        "b": np.arange(6, dtype=np.int16).reshape(2, 3),
        "c": np.bool_(True),
        "d": np.asfortranarray(np.eye(2)),
    }
    for protocol in (2, 3, 4, 5):
        read = unpickle(io.BytesIO(pickle.dumps(content, protocol)), nowhere)
        assert (read["a"], read["c"]) == (1.5, True)
        assert read["b"].numbers() == [[0, 1, 2], [3, 4, 5]]
        assert torch.equal(read["b"].tensor(), torch.arange(6, dtype=torch.int16).reshape(2, 3))
        assert torch.equal(read["d"].tensor(), torch.eye(2, dtype=torch.float64))
    older = pickle.dumps(content, 2).replace(b"numpy._core", b"numpy.core")
    assert unpickle(io.BytesIO(older), nowhere)["b"].numbers() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(CheckpointError, match="not of plain numbers"):
        unpickle(io.BytesIO(pickle.dumps(np.array([None]))), nowhere)
    with pytest.raises(CheckpointError, match="byte order"):
        unpickle(io.BytesIO(pickle.dumps(np.arange(3).astype(">i4"))), nowhere)


def test_arrays_are_checked() -> None:
    four = Dtype("f4")
    for state in (None, (1, (3,), four, False, b"\0" * 11), (1, (-1,), four, False, b""), (1, (1,), "f4", False, b"\0\0\0\0")):
        with pytest.raises(CheckpointError):
            Array().__setstate__(state)
    with pytest.raises(CheckpointError, match="has no numbers"):
        Array().tensor()


def test_training_files_with_their_arguments(tmp_path: Path) -> None:
    state = OrderedDict((key, value) for key, value in STATE.items())
    torch.save({"g": {}, "g_ema": state, "args": Namespace(size=16, path="x"), "ada_aug_p": np.float64(0.1)}, tmp_path / "f")
    assert load_prior(tmp_path / "f").image_shape == (3, 16, 16)
