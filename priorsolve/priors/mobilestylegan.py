"""MobileStyleGAN (Belousov 2021): a small StyleGAN2 student, from its constants alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import final

import torch
from torch import Tensor, nn

from priorsolve.apart import apart
from priorsolve.counter_rng import normal
from priorsolve.priors.base import Noise
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.layout import fill
from priorsolve.priors.mobilestylegan_frozen import Frozen
from priorsolve.priors.mobilestylegan_layers import Finish, First, Head, Layer, PlainMapping, Styles
from priorsolve.priors.spaces import carries_no_style, depth, is_features
from priorsolve.priors.styled import Styled
from priorsolve.priors.whitening import Whitening
from priorsolve.types import Codes, Images, Shape

_HEAD_CHANNELS = (3, 12)


@final
class MobileStyleGAN(Styled):
    """z → w → one style per modulation → 4×4 features, doubled by every layer → picture. Build one with `from_state`.

    The spaces, n being 512 and L the number of modulations (23 at 1024²):

    - `z` (n,) is N(0, I); only its direction counts. `w` (n,) and `w+` (L, n), one w per modulation, in the order of the network:
      the first convolution's, then upsampling's and the two convolutions' of every layer, then the head's.
    - `w++` (L, F, n): one w for each output filter of each modulation, F being the most that one has; the others use the first rows.
    - `s` (S,): the styles themselves, one number per modulated channel, in that order.
    - `p_n` (n,): whitened w, see `Whitening`; |p_n|² measures how unusual a code is. `p_n+` (L, n): whitened w+.
    - `noise` (M,): all noise maps, in units of each layer's strength, beside the styles of w̄ or of the codes given to `resumed`.
    - `features@k` (C, H, W): what enters block k ≥ 1. The later blocks' styles are those of w̄, or of the codes given to `resumed`.

    Maps lead z → w → w+ → s → features, w+ → w++ → features, p_n ↔ w, p_n+ ↔ w+, p_n → p_n+, and from features to later ones.
    `truncation` moves every w on the way, w+ included, toward w̄. `noise="random"` draws the maps of `noise_seed`, as strong as the
    network's own and the same for every picture of a batch, so that none depends on its neighbours. The tensors have the network's
    constants inside; `folded` sorts them for the CPU.
    """

    noise_seed: int = 0
    halves = True
    polish = 0.0  # the answers were the same without
    _frozen: Frozen | None

    def __init__(
        self, mapping: PlainMapping, styles: Styles, first: First, layers: Sequence[Layer], head: Head, whitening: Whitening
    ) -> None:
        super().__init__()
        self.mapping, self.styles, self.first = mapping, styles, first
        self.layers, self.head, self.whitening = nn.ModuleList(layers), head, whitening
        width, (channels, side) = styles.weight.shape[1], first.input.shape[:2]
        spaces: dict[str, Shape] = {
            **{"z": (width,), "w": (width,), "w+": (len(styles.sizes), width), "w++": (len(styles.sizes), self.filters, width)},
            **{"s": (sum(styles.sizes),), "p_n": (width,), "p_n+": (len(styles.sizes), width), "noise": (self.noise_size,)},
        }
        for k, layer in enumerate(layers):
            spaces[f"features@{k + 1}"] = (channels, side, side)
            channels, side = len(layer.conv2.finish.bias), 2 * side
        spaces[f"features@{len(layers) + 1}"] = (channels, side, side)
        self._spaces = spaces
        self._side = side * (2 if len(head.bias) == 12 else 1)
        self._frozen = None
        self.requires_grad_(False).eval()

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> MobileStyleGAN:
        """The network whose tensors are named as in `state_dict()`, in float32; without `whitening.*`, that is measured anew.

        Raises:
            CheckpointError: a tensor is missing, unknown or of a shape that does not fit the others; the line names it.
        """
        try:
            prior = cls(*_skeleton(state))
        except KeyError as error:
            raise CheckpointError(f"{error.args[0]} is missing; it is not a MobileStyleGAN, or only part of one") from None
        except (IndexError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"not a MobileStyleGAN: its tensors' shapes disagree ({str(error)[:120]})") from None
        known = any(key.startswith("whitening.") for key in state)
        blank = {f"whitening.{key}": torch.zeros(place.shape) for key, place in prior.whitening.state_dict().items() if not known}
        fill(prior, {**state, **blank})
        if not known:
            fill(prior.whitening, Whitening.measured(prior.mapping))
        prior.requires_grad_(False)
        return prior

    @property
    def image_shape(self) -> Shape:
        return (3, self._side, self._side)

    @property
    def spaces(self) -> Mapping[str, Shape]:
        return self._spaces

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.first, *self.layers, self.head]

    @property
    def w_mean(self) -> Tensor:
        return self.whitening.w_mean.expand(len(self.styles.sizes), -1)

    @property
    def filter_counts(self) -> Sequence[int]:
        # an upsampling makes a channel of four
        return [n or size // 4 for n, size in zip(self._filters, self.styles.sizes, strict=True)]

    @property
    def noise_shapes(self) -> Sequence[tuple[int, int]]:
        return [(finish.noise.shape[0], finish.noise.shape[1]) for finish in self._finishes]

    def noise_maps(self) -> Tensor:
        return torch.cat([finish.plain() for finish in self._finishes])[None].detach()

    def cut(self, space: str, head: Mapping[str, Tensor]) -> MobileStyleGAN:
        """The network up to `space`, a `features@k`, weights shared, and after it a head of another make.

        Args:
            head: `weight` (3 or 12, C, k, k), `bias` (3 or 12,), and the head's own modulation, `styles.weight` (C, n), `styles.bias` (C,).

        Raises:
            CheckpointError: a tensor is missing or does not fit the features.
        """
        kept = depth(space) - 1
        sizes = [*self.styles.sizes[: 1 + 3 * kept], self.spaces[space][0]]
        styles, n = Styles(sizes, self.styles.weight.shape[1]), sum(sizes[:-1])
        try:
            drawn = Head(sizes[-1], *head["weight"].shape[::2])
            drawn.load_state_dict({key: head[key].to(self.styles.weight) for key in ("weight", "bias")}, assign=True)
            own = {key: head[f"styles.{key}"].to(self.styles.weight) for key in ("weight", "bias")}
            styles.load_state_dict({key: torch.cat([getattr(self.styles, key)[:n], own[key]]) for key in own}, assign=True)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"not a head for {space} of {self}: {' '.join(str(error).split())[:200]}") from None
        return type(self)(self.mapping, styles, self.first, self._layers[:kept], drawn, self.whitening)

    @apart()
    def folded(self) -> MobileStyleGAN:
        if self.first.weight.device.type != "cpu":
            return self
        other = copy(self)
        other._modules = dict(self._modules)
        other._frozen = Frozen(self.first, self._layers, self.head)
        return other

    def _sample(self, n: int, rng: torch.Generator) -> Codes:
        return normal(rng, n, *self._spaces["z"])

    def _decode(self, codes: Codes, space: str, label: Tensor | None, noise: Noise) -> Images:
        styles = self._styles(codes, space)
        x = self._run(codes, depth(space), len(self.layers) + 1, styles, codes if space == "noise" else noise)
        head = self._frozen.head if self._frozen is not None and _one_way(styles[-1]) else self.head
        raw: Tensor = head(x, styles[-1])
        return (raw + 1) / 2

    def _whitening_like(self, codes: Codes) -> Whitening:
        return self.whitening

    def _lead(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: Noise) -> Codes:
        if is_features(source):
            return self._run(codes, depth(source), depth(target), self._styles(codes, source), noise)
        if source == "z":
            codes, source = self.mapping(codes), "w"
        codes = self.whitening.truncated(codes, truncation)
        if target in ("w", source):
            return codes
        if target in ("w+", "w++"):
            wplus = codes if source == "w+" else codes[:, None].repeat(1, len(self.styles.sizes), 1)
            return wplus if target == "w+" else self._per_filter(wplus)
        styles = self._styles(codes, source)
        return torch.cat(styles, 1) if target == "s" else self._run(codes, 0, depth(target), styles, noise)

    def _styles(self, codes: Codes, space: str) -> list[Tensor]:
        """The style of every modulation, (B, its channels); of w++ (B, its output filters, its channels).

        In the parameters' type: to bring the affines to another one costs more than these products.
        """
        with torch.autocast(codes.device.type, enabled=False):
            return self._styles_of(codes, space)

    def _styles_of(self, codes: Codes, space: str) -> list[Tensor]:
        if carries_no_style(space):
            codes, space = self._going_on(codes)
        codes, space = self._coloured(codes, space)
        if space == "z":
            codes = self.mapping(codes)
        if space == "w++":
            return self.styles.each(codes, self._filters)
        return list(torch.split(codes if space == "s" else self.styles(codes), self.styles.sizes, 1))

    def _run(self, x: Tensor, start: int, stop: int, styles: Sequence[Tensor], noise: Noise) -> Tensor:
        """What enters block `stop` from what enters block `start`; the first block, 0, takes nothing but its style."""
        maps = self._added(noise)
        if self._frozen is not None and _one_way(styles[0]):
            y: Tensor = self._frozen(x, start, stop, styles, maps)
            return y
        for k in range(start, stop):
            own, added = styles[max(0, 3 * k - 2) : 3 * k + 1], maps[max(0, 2 * k - 1) : 2 * k + 1]
            x = self.layers[k - 1](x, *own, added) if k else self.first(*own, *added)
        return x

    def _added(self, noise: Noise) -> list[Tensor | None]:
        """What every convolution adds to its output."""
        if not isinstance(noise, Tensor):
            return [finish.added(noise, self.noise_seed) for finish in self._finishes]
        return [finish.added(own, self.noise_seed) for finish, own in zip(self._finishes, self._split(noise), strict=True)]

    @property
    def _layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    @property
    def _filters(self) -> list[int]:
        """How many output filters every modulation has; 0 for an upsampling."""
        widths = [n for layer in self._layers for n in (0, len(layer.conv1.pointwise), len(layer.conv2.pointwise))]
        return [len(self.first.weight), *widths, len(self.head.bias)]

    @property
    def _finishes(self) -> list[Finish]:
        return [self.first.finish, *(part.finish for layer in self._layers for part in (layer.conv1, layer.conv2))]


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether these are tensors of a MobileStyleGAN."""
    return {"first.input", "styles.weight", "head.weight"} <= state.keys()


def _one_way(style: Tensor) -> bool:
    """Whether a layer's weights are the same for all pictures: they are no filter's own, or there is one picture."""
    return style.ndim == 2 or len(style) == 1


def _skeleton(state: Mapping[str, Tensor]) -> tuple[PlainMapping, Styles, First, list[Layer], Head, Whitening]:
    """The modules whose sizes the tensors show, without numbers yet. Raises KeyError for a tensor that is needed."""
    depth, count = _count(state, "mapping.layers."), _count(state, "layers.")
    width = state["mapping.layers.0.weight"].shape[1]
    channels, side, _ = state["first.input"].shape
    outputs, _, kernel, _ = state["head.weight"].shape
    if outputs not in _HEAD_CHANNELS:
        raise ValueError(f"head.weight draws {outputs} channels, expected 3 or 12")
    first, sizes = First(channels, side), [channels]
    layers: list[Layer] = []
    for k in range(count):
        side, features = 2 * side, state[f"layers.{k}.conv2.pointwise"].shape[0]
        layers.append(Layer(channels, features, side, k))
        sizes += [channels, channels // 4, features]
        channels = features
    return PlainMapping(depth, width), Styles([*sizes, channels], width), first, layers, Head(channels, outputs, kernel), Whitening(width)


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbers follow `prefix` in the tensors' names."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})
