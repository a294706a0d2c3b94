from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from priorsolve.losses.features import discriminator_features
from priorsolve.priors import CheckpointError, load_prior, read_state
from priorsolve.priors.scan import globals_of

STATE = {"main.0.weight": torch.arange(32.0).reshape(2, 1, 4, 4), "main.1.bias": torch.tensor([1.0, 2.0])}

WORDS = {
    "01": "asks for posix.system",
    "02": "asks for posix.system",
    "03": "asks for __builtin__.eval",
    "04": "asks for posix.system",
    "05": "asks for torch.serialization.os.system",
    "06": "asks for builtins.getattr",
    "07": "asks for posix.system",
    "08": "asks for some_fork.layers.FancyNoise",
    "09": "is incomplete",
    "10": "is incomplete or damaged",
    "11": "checksum",
    "12": "declares 1099511627776 bytes",
    "13": "shape (65536, 65536, 4) over a storage of 1 numbers",
    "14": "compressed record",
    "15": "shape (16, 16) over a storage of 32 numbers",
    "16": "made to fill the memory",
    "17": "nests deeper",
    "18": "ordinary pickle",
    "19": "synthesis.b8.conv1.bias has shape [19], expected [16]",
    "20": "main.3.weight",
    "21": "main.7.running_var is missing",
    "22": "NaN or infinite values in main.3.weight, main.6.weight",
    "23": "negative variances in main.4.running_var",
    "24": "HTML page",
    "25": "empty (0 bytes)",
    "26": "Git LFS pointer",
    "27": "XML error page",
    "28": "whole pickled module (torch.nn.modules.container.Sequential)",
    "29": "TorchScript",
    "30": "no known generator layout matches; its first tensors are encoder.weight",
}

READ_ALL = """
    import json, sys, time
    import torch
    from priorsolve.priors import CheckpointError, load_prior
    torch.set_num_threads(1)
    if sys.platform == "linux":
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    for path in sys.argv[1:]:
        start = time.monotonic()
        try:
            load_prior(path)
            said = "loaded"
        except CheckpointError as error:
            said = str(error)
        print(json.dumps([path, said, time.monotonic() - start]), flush=True)
"""


def test_hostile_files_are_refused_in_one_line_and_run_nothing(shared: Path, tmp_path: Path) -> None:
    """All of them in one process with 4 GiB of address space, which none may crash, fill or hold up."""
    folders = sorted((shared / "reference" / "09_hostile_and_broken").iterdir())
    files = [path for folder in folders for path in folder.iterdir() if folder.name[:2] in WORDS and path.name != "case.json"]
    root = Path(__file__).resolve().parent.parent
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(READ_ALL), *map(str, files)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = {path: (message, seconds) for path, message, seconds in map(json.loads, process.stdout.splitlines())}
    assert process.returncode == 0, process.stderr
    assert len(files) == len(WORDS)
    for path in files:
        message, seconds = said[str(path)]
        assert WORDS[path.parent.name[:2]] in message
        assert message.startswith(str(path))
        assert "\n" not in message
        assert seconds < 20
    assert list(tmp_path.iterdir()) == [], "the file's code ran"


def save_zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def save_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"netG_state_dict": state, "epoch": 3},
        lambda state: {"state_dict": {"module." + key: value for key, value in state.items()}, "optimizer": {"lr": 0.1}},
        lambda state: {"generator": {"state_dict": state}},
        lambda state: {"g": {"main.0.weight": torch.zeros(1)}, "g_ema": state, "d": {}},
        lambda state: {"anything": {"module._orig_mod." + key: value for key, value in state.items()}},
        lambda state: {key: nn.Parameter(value) for key, value in state.items()},
    ],
)
def test_torch_files_in_their_wrappings(save: Callable[[Any, Path], None], wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    path = tmp_path / "any name at all"
    save(wrap(STATE), path)
    read = read_state(str(path))
    assert list(read) == list(STATE)
    assert all(torch.equal(read[key], STATE[key]) and not read[key].requires_grad for key in STATE)


def test_real_modules_and_optimizers_are_read(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(torch.bfloat16)
    optimizer = torch.optim.Adam(net.parameters())
    path = tmp_path / "training.pt"
    save_zip({"netG": net.state_dict(), "optG": optimizer.state_dict(), "size": torch.Size([1, 2])}, path)
    assert list(read_state(path)) == list(net.state_dict())


def test_views_of_one_storage_are_kept(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    for save in (save_zip, save_legacy):
        save({"a": whole.T, "b": whole[1:], "c": torch.zeros(0, 3)}, tmp_path / "f.pt")
        read = read_state(tmp_path / "f.pt")
        assert torch.equal(read["a"], whole.T)
        assert torch.equal(read["b"], whole[1:])
        assert read["c"].shape == (0, 3)


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "netG.pth"
    save_file({"module." + key: value for key, value in STATE.items()}, path)
    assert torch.equal(read_state(path)["main.0.weight"], STATE["main.0.weight"])
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="damaged safetensors"):
        read_state(path)


@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_a_file_cut_anywhere_is_one_line(save: Callable[[Any, Path], None], tmp_path: Path) -> None:
    save({"netG": STATE}, tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for cut in range(1, len(whole), max(1, len(whole) // 60)):
        (tmp_path / "cut").write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match="cut: ") as caught:
            read_state(tmp_path / "cut")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds a list, not a dict"),
        ({"a": 1, "b": {}, "c": {}}, "holds no state dict under a known name; its keys are a, b, c"),
        ({}, r"its keys are \(none\)"),
        ({"x": range(3)}, "asks for .*range"),
    ],
)
def test_torch_files_without_a_state_dict(content: Any, words: str, tmp_path: Path) -> None:
    for save in (save_zip, save_legacy):
        save(content, tmp_path / "f.pt")
        with pytest.raises(CheckpointError, match=words):
            read_state(tmp_path / "f.pt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x00\x01\x02\x03 no format", "no checkpoint format known"),
        (b"\x1f\x8b\x08", "packed archive"),
        (b"  \n<!DOCTYPE html><html>", "HTML page"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"x", "no checkpoint format known"),
        (b"operator: gray\nprior: ffhq64\n", r"f: is text, not a checkpoint; expected a file of torch\.save or safetensors$"),
        (b"class: none\nlike this\n", "is text"),
        ("hallo, größer ".encode() * 50, "is text"),
        (b"hello\x00\x01", "is incomplete"),
        (b"hello\xff", "is incomplete"),
    ],
)
def test_other_files_are_told_apart(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        read_state(tmp_path / "f")


def test_unreadable_paths_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pt", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_state(path)


def test_a_path_from_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    torch.save({"a": torch.ones(2)}, tmp_path / "f.pth")
    assert read_state("~/f.pth").keys() == {"a"}
    with pytest.raises(ValueError, match="read_checkpoint: path is 3; give the path of a file or folder"):
        read_state(3)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"^not a BigGAN discriminator"):
        discriminator_features("~/f.pth")
    with pytest.raises(ValueError, match="discriminator_features: file is None; give the path"):
        discriminator_features(None)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes and devices among files there")
def test_paths_of_every_kind_are_one_line(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.pth"
    os.mkfifo(pipe)
    cases: list[tuple[Any, str]] = [
        (pipe, "pipe or a device"),
        ("/dev/zero", "pipe or a device"),
        ("a" * 5000 + ".pth", r"…: cannot be read \(File name too long\)"),
        ("a" * 300 + ".pth", "cannot be read"),
        ("~nobody-of-this-name/x.pth", "cannot be read .*check the path"),
        ("a\0b.pth", "cannot be read"),
    ]
    for path, words in cases:
        with pytest.raises(CheckpointError, match=words) as caught:
            load_prior(path)
        assert len(str(caught.value)) < 1000
    with pytest.raises(ValueError, match=r"no prior called 'a+'; known names") as unknown:
        load_prior("a" * 5000)
    assert len(str(unknown.value)) < 1000
    for source in (123, None, b"ffhq64"):
        with pytest.raises(ValueError, match="give a name of the zoo or a file's path"):
            load_prior(source)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nonfinite is 'zeros'; it must be one of refuse, zero"):
        load_prior("digiface64", nonfinite="zeros")  # type: ignore[arg-type]


def zip_of(records: dict[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return path


def test_a_key_too_deep_to_hash_does_not_crash(tmp_path: Path) -> None:
    path = zip_of({"a/data.pkl": b"\x80\x02})" + b"\x85" * 300_000 + b"Ns."}, tmp_path / "deep.pth")
    with pytest.raises(CheckpointError, match="nests deeper"):
        read_state(path)


def test_what_is_put_beside_a_deep_part_makes_its_list_no_less_deep() -> None:
    with pytest.raises(CheckpointError, match="nests deeper"):
        globals_of(io.BytesIO(b"\x80\x02" + b"]" * 600 + b"aNa" * 599 + b"."))


@pytest.mark.parametrize(
    "pickled", [b"cbuiltins\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x10\x85R.", b"ctorch\nTensor\nJ\xff\xff\xff\x7f\x85\x81."]
)
def test_names_that_torch_allows_but_weights_do_not_need(pickled: bytes, tmp_path: Path) -> None:
    """torch's own restricted reader would allocate as much as these ask for."""
    path = zip_of({"a/data.pkl": b"\x80\x02" + pickled}, tmp_path / "f.pth")
    with pytest.raises(CheckpointError, match=r"asks for (builtins\.bytearray|torch\.Tensor)"):
        read_state(path)


def test_zip_archives_of_other_kinds(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"without one data\.pkl"):
        read_state(zip_of({"readme.txt": b"hello"}, tmp_path / "a.zip"))
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/data.pkl", b"\x80\x02}.")
    with pytest.raises(CheckpointError, match="two records of one name"):
        read_state(path)


def test_a_legacy_file_that_declares_too_much(tmp_path: Path) -> None:
    path = tmp_path / "f.pt"
    save_legacy({"a": torch.zeros(77)}, path)
    path.write_bytes(path.read_bytes().replace(b"K\x4d", b"J\xff\xff\xff\x7f"))
    with pytest.raises(CheckpointError, match=r"declares \d+ bytes|over a storage of"):
        read_state(path)


def test_files_of_a_big_endian_machine_are_refused(tmp_path: Path) -> None:
    """Their numbers would be read with their bytes the wrong way round."""
    zipped, old = tmp_path / "f.pth", tmp_path / "f.pt"
    save_zip(STATE, zipped)
    with zipfile.ZipFile(zipped) as archive:
        parts = {name: b"big" if name.endswith("/byteorder") else archive.read(name) for name in archive.namelist()}
    assert b"big" in parts.values()
    zip_of(parts, zipped)
    save_legacy(STATE, old)
    big, found = re.subn(rb"(little_endianq.)\x88", lambda found: found[1] + b"\x89", old.read_bytes())  # False for True
    assert found == 1
    old.write_bytes(big)
    for path in (zipped, old):
        with pytest.raises(CheckpointError, match="was written on a big-endian machine; load and save it again on a little-endian one"):
            read_state(path)


def test_names_are_found_however_they_are_written() -> None:
    assert globals_of(io.BytesIO(b"cos\nsystem\n.")) == globals_of(io.BytesIO(b"(ios\nsystem\n.")) == ["os.system"]
    assert globals_of(io.BytesIO(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93h\x00h\x01\x93.")) == ["os.system"]
    with pytest.raises(CheckpointError, match="is incomplete"):
        globals_of(io.BytesIO(b"\x80\x04\x8c\x02os"))


@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize(
    "weights",
    [torch.zeros(2).to(torch.float8_e4m3fn), torch.zeros(2, dtype=torch.complex64), torch.eye(2).to_sparse()],
    ids=lambda weights: str(weights.dtype),
)
def test_types_that_are_not_read_are_no_code(save: Callable[[Any, Path], None], weights: torch.Tensor, tmp_path: Path) -> None:
    save({"main.0.weight": weights}, tmp_path / "netG.pth")
    with pytest.raises(CheckpointError, match=r"netG.pth: asks for torch\.[\w.]+, so it holds weights of a type \(float8, .*as float32$"):
        read_state(tmp_path / "netG.pth")


def test_code_is_told_before_types(tmp_path: Path) -> None:
    save_zip({"main.0.weight": torch.zeros(2, dtype=torch.complex64), "then": print}, tmp_path / "netG.pth")
    with pytest.raises(CheckpointError, match=r"asks for \w+\.print, which is code"):
        read_state(tmp_path / "netG.pth")


def test_openvino_files_are_told_from_error_pages(tmp_path: Path) -> None:
    graph = tmp_path / "MappingNetwork.xml"
    graph.write_text('<?xml version="1.0" ?>\n<net name="MappingNetwork" version="10">\n</net>')
    for path, held in ((graph, r"MappingNetwork\.xml: is"), (tmp_path, "is a folder with")):
        with pytest.raises(CheckpointError, match=rf"{held} an OpenVINO graph, which is read by a name of the zoo only; take .* ffhq1024"):
            load_prior(path)
    graph.unlink()
    with pytest.raises(CheckpointError, match=r"cannot be read \(it is a folder without config\.json\); give the checkpoint file in it$"):
        load_prior(tmp_path)
