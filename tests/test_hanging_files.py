"""Small files that would keep their reader busy for hours, or fill its memory, by using the same part again and again."""

import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from priorsolve.priors import CheckpointError
from priorsolve.priors.checkpoint import read_state
from priorsolve.priors.unwrap import generator_of

MANY_KEYS = "has more than 5000 keys that are no text; it is damaged or made to hang its reader"


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def refused(path: Path, data: bytes, words: str) -> None:
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=words):
        read_state(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_all_views_of_a_storage_share_its_numbers(legacy: bool, tmp_path: Path) -> None:
    """torch names the storage anew for each tensor over it; a copy for each would be views × storage of memory."""
    flat, path = torch.arange(1000.0), tmp_path / "flat.pth"
    torch.save({f"t{i}": flat[i : i + 2] for i in range(50)}, path, _use_new_zipfile_serialization=not legacy)
    state = read_state(path)
    assert {tensor.untyped_storage().data_ptr() for tensor in state.values()} == {state["t0"].untyped_storage().data_ptr()}
    assert all(tensor.tolist() == [i, i + 1] for i, tensor in enumerate(state.values()))


def test_a_storage_has_one_length(tmp_path: Path) -> None:
    flat, path = torch.zeros(60), tmp_path / "f.pth"
    torch.save({"a": flat[:30], "b": flat[30:]}, path)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    (data,) = (name for name in records if name.endswith("data.pkl"))
    first, second, rest = records[data].split(b"K\x3c")  # 60, the length, once for each tensor
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, first + b"K\x3c" + second + b"K\x3b" + rest if name == data else content)
    with pytest.raises(CheckpointError, match="storage '0' is of two types or lengths"):
        read_state(path)


@pytest.mark.parametrize("length", [129, 100_000])
def test_long_numbers_are_refused(length: int, tmp_path: Path) -> None:
    """Each look at one in a set or as a key goes through all of it."""
    data = b"\x80\x04\x8b" + struct.pack("<i", length) + b"\x7f" * length + b"q\x000\x8f(" + b"h\x00" * 3 + b"\x90."
    refused(tmp_path / "f.pkl", data, rf"holds a number of {8 * length - 1} bits")


def test_tuples_used_again_and_again_are_refused(tmp_path: Path) -> None:
    numbers = b"".join(b"G" + struct.pack(">d", 1.5) for _ in range(1900))
    refused(tmp_path / "f.pkl", b"\x80\x04(" + numbers + b"tq\x000\x8f(" + b"h\x00" * 6000 + b"\x90.", "uses its tuples too often")
    refused(tmp_path / "g.pkl", b"\x80\x04(" + numbers + b"t" + b"2" * 6000 + b".", "uses its tuples too often")
    (tmp_path / "h.pkl").write_bytes(pickle.dumps([(1, 2, 3)] * 6000))
    with pytest.raises(CheckpointError, match="is an ordinary pickle"):
        read_state(tmp_path / "h.pkl")


def test_a_module_of_nothing_counts_each_time_it_is_used(tmp_path: Path) -> None:
    name = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"

    def record(state: bytes) -> bytes:
        return name + b"(}(" + text("class_name") + text("Generator") + text("state") + state + b"utR"

    nothing = record(b"}" + text("_parameters") + b"}(" + b"".join(text(f"p{i}") + b"N" for i in range(300)) + b"us") + b"q\x010"
    top = record(b"}" + text("_modules") + b"}(" + b"".join(text(f"m{i}") + b"h\x01" for i in range(100)) + b"us")
    refused(tmp_path / "f.pkl", b"\x80\x02" + nothing + b"}" + text("G_ema") + top + b"s.", "more than 20000 tensors and modules")


def test_tensorflows_variables_without_numbers_count_too(tmp_path: Path) -> None:
    def network(parts: bytes, variables: bytes) -> bytes:
        held = text("version") + b"K\x04" + text("variables") + variables + text("components") + parts
        return b"cdnnlib.tflib.network\nNetwork\n)R}(" + held + b"ub"

    part = network(b"}", b"](" + b"".join(text(f"v{i}") + b"N\x86" for i in range(300)) + b"e") + b"q\x010"
    whole = network(b"}(" + b"".join(text(f"c{i}") + b"h\x01" for i in range(100)) + b"u", b"]")
    refused(tmp_path / "f.pkl", b"\x80\x02" + part + whole + b"q\x02h\x02h\x02\x87.", "more than 5000 variables")


def test_hundreds_of_dicts_are_no_checkpoint(tmp_path: Path) -> None:
    tensor = torch.zeros(1, 1)
    shared = {f"k{i}": tensor for i in range(10)}
    torch.save({"netG": {"a": tensor}} | {f"ema{i}": shared for i in range(100)}, tmp_path / "f.pth")
    with pytest.raises(CheckpointError, match="no state dict under a known name; its keys are netG, ema0"):
        read_state(tmp_path / "f.pth")


def test_numbers_that_all_hash_alike_are_no_keys(tmp_path: Path) -> None:
    """Python takes them modulo 2⁶¹ − 1; 40 000 in a dict took 41 seconds."""
    numbers = [k * (2**61 - 1) for k in range(1, 6000)]
    for content in (dict.fromkeys(numbers), set(numbers), frozenset(numbers), {(0, k): 0 for k in numbers}):
        refused(tmp_path / "f.pkl", pickle.dumps(content, protocol=4), MANY_KEYS)
    refused(tmp_path / "f.pkl", pickle.dumps(set(numbers), protocol=2), MANY_KEYS)
    refused(tmp_path / "f.pkl", b"(" + b"".join(b"I%d\nN" % k for k in numbers) + b"d.", MANY_KEYS)
    refused(tmp_path / "f.pkl", b"ccollections\nOrderedDict\n((" + b"".join(b"(I%d\nNl" % k for k in numbers) + b"ltR.", MANY_KEYS)
    refused(tmp_path / "f.pkl", b"ccollections\nOrderedDict\n((" + b"".join(b"I%d\nN\x86" % k for k in numbers) + b"ltR.", MANY_KEYS)
    words = [f"k{k}" for k in numbers]
    data = pickle.dumps({"a": dict.fromkeys(words, 0), "b": set(words)}, protocol=2)
    refused(tmp_path / "f.pkl", data, "holds no state dict under a known name")


def test_a_dict_under_many_names_is_looked_at_in_part(tmp_path: Path) -> None:
    """All of it each time took nine seconds for a file of 300 kB."""

    class Watched(dict[str, int]):
        looks = 0

        def items(self) -> Iterator[tuple[str, int]]:  # type: ignore[override]
            for pair in super().items():
                Watched.looks += 1
                yield pair

    shared = Watched({f"k{i}": i for i in range(30_000)})
    with pytest.raises(CheckpointError, match="no state dict under a known name"):
        generator_of({f"net{i}": {"model": shared} for i in range(50)}, 1 << 20)
    assert Watched.looks <= 50 * 10_000
