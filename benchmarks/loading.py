"""How long a large checkpoint takes to load and how much memory, and how quick StyleGAN2 is beside the published way of writing it.

    python benchmarks/loading.py [REPEATS] [--no-speed]

Loading: a StyleGAN2 of 1024² (config F, 30 million parameters, random weights) is written to a temporary folder in three containers:
safetensors as `save_prior` writes it, a pickle as NVIDIA's programs write it, and a .pt as rosinality's do. Each is loaded in a process
of its own: the peak of the resident memory at the first load, over what was resident before, then the median of REPEATS loads. The disk
is not measured: the file was just written, so the system still holds it.

Speed: forward and backward from w+ at 256², ours against modulated convolutions as NVIDIA's repository has them without its custom
operators (the weights scaled for each image, then one grouped convolution), on shared weights. Pictures and gradients must agree. Both
run in turns on one thread, and what is counted is that thread's processor time.

Prints two Markdown tables for docs/formats.md.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from machine import describe
from measuring import must_be_repeats
from torch import Tensor
from torch.nn import functional as F

from priorsolve.memory import keep_freed_memory
from priorsolve.priors import StyleGAN2, load_prior, save_prior

SIDE, FAST_SIDE, W, DEPTH, CLAMP = 1024, 256, 512, 8, 256.0


def random_state(side: int) -> dict[str, Tensor]:
    """The tensors of config F at `side`², under NVIDIA's names, as they are before training."""
    rng = torch.Generator().manual_seed(0)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    state: dict[str, Tensor] = {"mapping.w_avg": torch.randn(W, generator=rng) * 0.1}

    def draw(name: str, *shape: int, by: float = 1.0) -> None:
        state[name] = torch.randn(shape, generator=rng) * by

    for i in range(DEPTH):
        draw(f"mapping.fc{i}.weight", W, W, by=100)
        draw(f"mapping.fc{i}.bias", W)
    inputs = min(32768 // 4, 512)
    draw("synthesis.b4.const", inputs, 4, 4)
    for r in [4 << i for i in range(int(math.log2(side)) - 1)]:
        block, outputs = f"synthesis.b{r}", min(32768 // r, 512)
        for name, width in [("conv0", inputs), ("conv1", outputs)][r == 4 :]:
            draw(f"{block}.{name}.weight", outputs, width, 3, 3)
            draw(f"{block}.{name}.bias", outputs, by=0.1)
            draw(f"{block}.{name}.affine.weight", width, W)
            state[f"{block}.{name}.affine.bias"] = torch.ones(width)
            draw(f"{block}.{name}.noise_const", r, r)
            state[f"{block}.{name}.noise_strength"] = torch.tensor(0.1)
        if r > 4:
            state[f"{block}.resample_filter"] = state[f"{block}.conv0.resample_filter"] = taps.outer(taps) / 64
        draw(f"{block}.torgb.weight", 3, outputs, 1, 1)
        draw(f"{block}.torgb.bias", 3, by=0.1)
        draw(f"{block}.torgb.affine.weight", outputs, W)
        state[f"{block}.torgb.affine.bias"] = torch.ones(outputs)
        inputs = outputs
    return state


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
    raise AssertionError("only its name is pickled")


class _Persistent:
    """What NVIDIA's `persistence` makes of a module: its class's name, its source text (left out here) and its attributes."""

    def __init__(self, kind: str, state: dict[str, Any]) -> None:
        self._meta = {"type": "class", "version": 6, "module_src": "", "class_name": kind, "state": state}

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reconstruct_persistent_obj, (self._meta,))


def write_nvidia(state: Mapping[str, Tensor], path: Path) -> None:
    """A snapshot as NVIDIA's programs pickle it, with G_ema alone."""
    # pickle looks the name up where its owner says it is; tests/nvidia_support.py pickles more of what such files hold
    module = ModuleType("torch_utils.persistence")
    vars(module)["_reconstruct_persistent_obj"] = _reconstruct_persistent_obj
    _reconstruct_persistent_obj.__module__ = module.__name__
    sys.modules |= {"torch_utils": ModuleType("torch_utils"), module.__name__: module}
    tree: dict[str, Any] = {}
    for key in state:
        node = tree
        for part in key.split(".")[:-1]:
            node = node.setdefault(part, {})

    def record(name: str, children: dict[str, Any]) -> _Persistent:
        own = {key.rsplit(".", 1)[-1]: value for key, value in state.items() if key.rpartition(".")[0] == name}
        attributes = {"conv_clamp": CLAMP} if name.endswith(("conv0", "conv1")) else {}
        members = {part: record(f"{name}.{part}".lstrip("."), inner) for part, inner in children.items()}
        return _Persistent("Module", {"_parameters": {}, "_buffers": own, "_modules": members, **attributes})

    with path.open("wb") as file:
        pickle.dump({"G_ema": record("", tree)}, file, protocol=4)


def write_rosinality(state: Mapping[str, Tensor], path: Path) -> None:
    """A converted file in rosinality's names."""
    inner = {"weight": "conv.weight", "bias": "activate.bias", "noise_strength": "noise.weight"}
    inner |= {"affine.weight": "conv.modulation.weight", "affine.bias": "conv.modulation.bias"}
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        parts = key.split(".", 3 if key.startswith("synthesis") else 2)
        if parts[0] == "mapping" and len(parts) == 3:
            named[f"style.{int(parts[1][2:]) + 1}.{parts[2]}"] = value
        elif key.endswith(".const"):
            named["input.input"] = value[None]
        elif parts[0] == "synthesis" and len(parts) == 4:
            level = int(math.log2(int(parts[1][1:]))) - 3
            if parts[3] == "noise_const":
                named[f"noises.noise_{2 * level + (1 if parts[2] == 'conv0' else 2)}"] = value[None, None]
            elif parts[3] != "resample_filter":
                colours = parts[2] == "torgb"
                start = ("to_rgb1" if level < 0 else f"to_rgbs.{level}") if colours else "conv1"
                if not colours and level >= 0:
                    start = f"convs.{2 * level + (parts[2] == 'conv1')}"
                end = "bias" if colours and parts[3] == "bias" else inner[parts[3]]
                shaped = value[None, :, None, None] if end == "bias" else value.reshape(1) if end == "noise.weight" else value
                named[f"{start}.{end}"] = shaped[None] if end == "conv.weight" else shaped
    torch.save({"g_ema": named, "latent_avg": state["mapping.w_avg"]}, path)


def load(path: Path, repeats: int) -> None:
    """Print seconds and peak memory as JSON; this is the process that is measured."""
    torch.set_num_threads(1)
    before = resident("VmRSS")
    seconds, peak = [], 0
    for _ in range(repeats):
        start = time.perf_counter()
        load_prior(path)
        seconds.append(time.perf_counter() - start)
        peak = peak or resident("VmHWM")  # of the first load
    print(json.dumps({"seconds": seconds, "bytes": peak - before}))


def resident(what: str) -> int:
    """Bytes of this process, now ("VmRSS") or at most so far ("VmHWM"); getrusage would count the parent's as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


class Reference:
    """StyleGAN2's synthesis as NVIDIA's repository writes it where its custom operators are not there; float32, skip architecture."""

    def __init__(self, prior: StyleGAN2) -> None:
        self.state: dict[str, Tensor] = prior.state_dict()
        self.sides = [4 << i for i in range(int(math.log2(prior.image_shape[-1])) - 1)]

    def __call__(self, wplus: Tensor) -> Tensor:
        """Raw pictures (B, 3, side, side) of w+ (B, L, 512)."""
        state, image, slot = self.state, None, 0
        x = state["synthesis.b4.const"].repeat(len(wplus), 1, 1, 1)
        for side in self.sides:
            block = f"synthesis.b{side}"
            if side > 4:
                x, slot = self._layer(f"{block}.conv0", x, wplus[:, slot], up=2), slot + 1
            x, slot = self._layer(f"{block}.conv1", x, wplus[:, slot]), slot + 1
            style = self._affine(f"{block}.torgb", wplus[:, slot]) / math.sqrt(x.shape[1])
            share = modulated(x, state[f"{block}.torgb.weight"], style, demodulate=False) + state[f"{block}.torgb.bias"][:, None, None]
            share = share.clamp(-CLAMP, CLAMP)
            if image is not None:
                image = resampled(image, state[f"{block}.resample_filter"], up=2, before=2, after=1, gain=4)
            image = share if image is None else image + share
        assert image is not None
        return image

    def _affine(self, name: str, w: Tensor) -> Tensor:
        weight, bias = self.state[f"{name}.affine.weight"], self.state[f"{name}.affine.bias"]
        return torch.addmm(bias[None], w, (weight / math.sqrt(W)).t())

    def _layer(self, name: str, x: Tensor, w: Tensor, up: int = 1) -> Tensor:
        state = self.state
        x = modulated(x, state[f"{name}.weight"], self._affine(name, w), up=up, kernel=state.get(f"{name}.resample_filter"))
        x = x + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
        x = F.leaky_relu(x + state[f"{name}.bias"].reshape(1, -1, 1, 1), 0.2) * math.sqrt(2)
        return x.clamp(-CLAMP * math.sqrt(2), CLAMP * math.sqrt(2))


def modulated(x: Tensor, weight: Tensor, style: Tensor, *, up: int = 1, kernel: Tensor | None = None, demodulate: bool = True) -> Tensor:
    """`modulated_conv2d` with fused modulation: each image's own weights, all in one grouped convolution."""
    batch, (outputs, inputs, k, _) = len(x), weight.shape
    w = weight[None] * style.reshape(batch, 1, -1, 1, 1)
    if demodulate:
        w = w * (w.square().sum(dim=[2, 3, 4]) + 1e-8).rsqrt().reshape(batch, -1, 1, 1, 1)
    x = x.reshape(1, -1, *x.shape[2:])
    if up == 1:
        x = F.conv2d(x, w.reshape(-1, inputs, k, k), padding=k // 2, groups=batch)
    else:
        assert kernel is not None
        x = F.conv_transpose2d(x, w.transpose(1, 2).reshape(batch * inputs, outputs, k, k), stride=up, groups=batch)
        x = resampled(x, kernel, up=1, before=1, after=1, gain=up**2)
    return x.reshape(batch, -1, *x.shape[2:])


def resampled(x: Tensor, kernel: Tensor, *, up: int, before: int, after: int, gain: float) -> Tensor:
    """`_upfirdn2d_ref`: zeros between the pixels, padding, then the filter on each channel."""
    b, c, h, w = x.shape
    if up > 1:
        x = F.pad(x.reshape(b, c, h, 1, w, 1), [0, up - 1, 0, 0, 0, up - 1]).reshape(b, c, h * up, w * up)
    x = F.pad(x, [before, after, before, after])
    return F.conv2d(x, (kernel * gain).flip([0, 1])[None, None].repeat(c, 1, 1, 1), groups=c)


def turn(draw: Any, wplus: Tensor) -> tuple[float, Tensor, Tensor]:
    """Milliseconds of one forward and backward pass, its raw picture, and the gradient of its mean square."""
    leaf = wplus.detach().requires_grad_()
    start = time.process_time()
    picture = draw(leaf)
    (gradient,) = torch.autograd.grad(picture.square().mean(), leaf)
    return (time.process_time() - start) * 1000, picture.detach(), gradient


def compare_speed(repeats: int) -> None:
    """Print the table of ratios."""
    prior = StyleGAN2.from_state(random_state(FAST_SIDE), {"conv_clamp": CLAMP})
    reference = Reference(prior)
    print(f"\n{describe()}; medians of {repeats} pairs of turns\n")
    print("| images | ours ms | published way ms | ratio | middle half of the ratios | pictures differ by | gradients by |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for images in (1, 4):
        wplus = prior.sample(images, torch.Generator().manual_seed(1), "w+")
        runs = {"ours": lambda w: 2 * prior.decode(w, "w+") - 1, "published": reference}
        pairs, differences = [], (0.0, 0.0)
        for repeat in range(repeats + 1):
            found = {name: turn(runs[name], wplus) for name in sorted(runs, reverse=bool(repeat % 2))}
            (ours, picture, gradient), (published, wanted, slope) = found["ours"], found["published"]
            differences = float((picture - wanted).abs().max() / wanted.abs().max()), float((gradient - slope).norm() / slope.norm())
            assert max(differences) < 1e-3, differences
            pairs.append((ours, published, ours / published))
        mine, theirs, ratios = zip(*pairs[1:], strict=True)  # one to warm up
        low, middle, high = statistics.quantiles(ratios, n=4)
        cells = f"{statistics.median(mine):.0f} | {statistics.median(theirs):.0f} | {middle:.3f} | {low:.3f}–{high:.3f}"
        print(f"| {images} | {cells} | {differences[0]:.1e} | {differences[1]:.1e} |", flush=True)


def compare_loading(folder: Path, repeats: int) -> None:
    """Print the table of seconds and memory."""
    state = random_state(SIDE)
    prior = StyleGAN2.from_state(state, {"conv_clamp": CLAMP})
    print(f"{describe()}; medians of {repeats} loads of {sum(p.numel() for p in prior.parameters()):,} parameters\n")
    print("| container | MB | seconds | extra memory, MB | extra memory / file |\n|---|---|---|---|---|", flush=True)
    paths = {"safetensors": folder / "own.safetensors", "NVIDIA pickle": folder / "snapshot.pkl", "rosinality .pt": folder / "converted.pt"}
    save_prior(prior, paths["safetensors"])
    write_nvidia(state, paths["NVIDIA pickle"])
    write_rosinality(state, paths["rosinality .pt"])
    for name, path in paths.items():
        command = [sys.executable, __file__, str(repeats), "--load", str(path)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        size = path.stat().st_size
        seconds, extra = statistics.median(found["seconds"]), found["bytes"]
        print(f"| {name} | {size / 1e6:.0f} | {seconds:.2f} | {extra / 1e6:.0f} | {extra / size:.2f} |", flush=True)


def main() -> None:
    """Both tables, or one load in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("repeats", type=int, nargs="?", default=7)
    parser.add_argument("--no-speed", action="store_true", help="measure loading alone")
    parser.add_argument("--load", type=Path, metavar="FILE", help="load this file only, and print JSON")
    given = parser.parse_args()
    if given.load:
        load(given.load, given.repeats)
        return
    if not given.no_speed:
        must_be_repeats(given.repeats)
    keep_freed_memory()  # as the command line does
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        compare_loading(Path(folder), given.repeats)
    if not given.no_speed:
        compare_speed(given.repeats)


if __name__ == "__main__":
    main()
