"""What a prior is: a pretrained generator behind one face, whatever its family."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from priorsolve.alike import rows_apart
from priorsolve.counter_rng import normal
from priorsolve.onednn import rounds_alike
from priorsolve.priors.labels import must_be_label
from priorsolve.priors.layers import first_parameter
from priorsolve.priors.spaces import is_features
from priorsolve.showing import is_whole, must_be_number, shown
from priorsolve.types import Codes, Images, Shape

if TYPE_CHECKING:
    from typing_extensions import Self

NoiseMode = Literal["const", "none", "random"]
Noise = NoiseMode | Tensor
"""Where a generator's noise comes from: its own maps, none, drawn ones, or the maps given, (B, noise_size) or (1, noise_size)."""

MADE, FOUND = "_made", "_found"
"""Attributes in which `priors/kept.py` keeps what it made of a prior, and what was found of that."""
_CHUNK = 8
"""Codes drawn at a time where only their spread is asked for: 64 codes' features may be gigabytes."""
_SINGLY, _EXACTLY = ContextVar("singly", default=False), ContextVar("exactly", default=False)


def singly(on: bool = True) -> contextlib.AbstractContextManager[None]:
    """Within it, on the CPU, every prior draws and maps a batch `row_by_row`: for searches in which what is rounded otherwise grows."""
    return _switched(_SINGLY, on)


def exactly(on: bool = True) -> contextlib.AbstractContextManager[None]:
    """Within it every prior computes in its parameters' type, whatever it was told by `computing`."""
    return _switched(_EXACTLY, on)


@contextlib.contextmanager
def _switched(switch: ContextVar[bool], on: bool) -> Iterator[None]:
    token = switch.set(on or switch.get())
    try:
        yield
    finally:
        switch.reset(token)


class Prior(nn.Module, ABC):
    """Images from codes. Frozen and in eval mode, also inside a module that is trained.

    `blocks` lists the layers from code to picture. `features@k` is the space of what enters block k, so that solvers can mix codes
    there, start there, or unfreeze the blocks front to back, on any prior. Generators that add noise to their features have the
    space `noise` too: all of their maps, end to end, of which N(0, I) is natural. Its first parameter says its device and type.
    """

    computes: torch.dtype | None = None
    """What the network computes in while gradients are taken, where not in its parameters' type: see `computing`."""
    polish: ClassVar[float] = 0.25
    """The share of a search's steps, the last ones, that compute in the parameters' type whatever `computes` is."""
    halves: ClassVar[bool] = False
    """Whether searching in bfloat16 was measured to be quicker and to end as well (docs/performance.md), for processors that have it."""
    rounds_together: ClassVar[bool] = False
    """Whether the network rounds rows of a batch otherwise than alone on the CPU, of which a search makes much: it draws `row_by_row`."""

    @property
    @abstractmethod
    def image_shape(self) -> Shape:
        """(C, H, W) of the pictures."""

    @property
    @abstractmethod
    def spaces(self) -> Mapping[str, Shape]:
        """The spaces a code may live in and a code's shape there; the first is where sampling starts."""

    @property
    def first_space(self) -> str:
        """Where sampling starts. Raises ValueError where an own prior's `spaces` names no space with its shape."""
        if not isinstance(self.spaces, Mapping) or not self.spaces:
            raise ValueError(f"{self}: spaces is {shown(self.spaces)}; name a space and the shape of a code there, such as {{'z': (512,)}}")
        return next(iter(self.spaces))

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """The layers, in order, from code to picture."""

    @abstractmethod
    def _sample(self, n: int, rng: torch.Generator) -> Codes:
        """`n` codes in the first space, drawn on the CPU."""

    @abstractmethod
    def _decode(self, codes: Codes, space: str, label: Tensor | None, noise: Noise) -> Images:
        """Images in [0, 1], not clamped. Codes, label and noise have been checked; without classes, `label` is None."""

    @abstractmethod
    def _map(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: Noise) -> Codes:
        """Codes of `target`, where `source` is another space or `truncation` is not 1. Both exist; the noise's shape has been checked.

        Raises ValueError where there is no map, or no such truncation.
        """

    def __getattr__(self, name: str) -> Tensor | nn.Module:
        if "_parameters" not in vars(self):
            raise AttributeError(f"{type(self).__name__}: its __init__ does not call super().__init__(); call it first")
        return super().__getattr__(name)

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode: batch statistics would make each picture depend on its neighbours."""
        return super().train(False)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is kept of this one: a copy may change, and whoever reads a file makes it again."""
        return {name: value for name, value in vars(self).items() if name not in (MADE, FOUND)}

    @property
    def n_classes(self) -> int:
        """How many classes a label chooses from; 0 for a prior without classes."""
        return 0

    @property
    def noise_shapes(self) -> Sequence[tuple[int, int]]:
        """(H, W) of every noise map, in the order of the layers; none for a prior without noise inputs."""
        return ()

    @property
    def noise_sizes(self) -> list[int]:
        """How many numbers every noise map holds, in the order of the layers."""
        return [height * width for height, width in self.noise_shapes]

    @property
    def noise_size(self) -> int:
        """How many numbers all noise maps hold together."""
        return sum(self.noise_sizes)

    @property
    def drawn_channels(self) -> int:
        """How many channels at the end of `features@k` are the picture drawn so far; 0 where features alone lead on."""
        return 0

    def noise_maps(self) -> Tensor:
        """(1, noise_size) the maps that the checkpoint came with, before each layer's strength: `noise="const"` as a code."""
        return next(self.parameters()).new_zeros(1, 0)

    def embed(self, label: Tensor) -> Tensor:
        """(B, c), the part that `z+c` has after z, of class indices (B,) or weights (B, n_classes). Raises ValueError for others."""
        raise ValueError(f"{self}: has no classes; leave label out")

    def folded(self) -> Prior:
        """An equal prior that is cheaper to run while its weights stay frozen (normalisations folded into convolutions).

        Of tensors that let gradients through, also where it is asked for in inference mode. Its own weights may not change in place.
        """
        return self

    def crowded(self) -> Prior:
        """Folded for 16 and more rows at a time, where a family has a form that is quicker then: slower for one, and rounded otherwise."""
        return self.folded()

    def computing(self, dtype: torch.dtype | None) -> Self:
        """The same prior, weights shared, whose network computes in `dtype`, bfloat16, while gradients are taken; None: as it is.

        Codes, pictures and gradients keep the parameters' type, and without gradients, as for the pictures that are kept, nothing changes.

        Raises:
            ValueError: for any other type; float16 ends at 6e-8, and a gradient of a mean over pixels is smaller than that in many places.
        """
        if dtype not in (None, torch.bfloat16):
            raise ValueError(f"{self}: computes in torch.bfloat16 (float16 loses small gradients) or, with None, as it is; got {dtype}")
        other = copy(self)
        other.computes = dtype
        return other

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self.computes is None or _EXACTLY.get() or not torch.is_grad_enabled():
            return contextlib.nullcontext()
        return torch.autocast(next(self.parameters()).device.type, self.computes)

    def sample(self, n: int, rng: torch.Generator, space: str | None = None) -> Codes:
        """`n` codes (n, *spaces[space]) as the prior distributes them; the same for the same `rng` on every device.

        Raises:
            ValueError: `n` is no whole number, `rng` no generator of the CPU's, or the prior has no such space.
        """
        if not is_whole(n) or n < 0:
            raise ValueError(f"{self}: cannot sample {n!r} codes; give a whole number")
        if not isinstance(rng, torch.Generator) or rng.device.type != "cpu":
            given = f"on {rng.device}" if isinstance(rng, torch.Generator) else repr(rng)
            raise ValueError(f"{self}: rng is {given}; give one of the CPU, torch.Generator().manual_seed(0)")
        parameter = first_parameter(self)
        if space == "noise" and self.noise_size:
            return normal(rng, n, self.noise_size).to(parameter)
        codes, expected = self._sample(n, rng), (n, *self._shape(self.first_space))
        if _form(codes) != expected:
            raise ValueError(f"{self}: _sample gives {_form(codes)} for {n} codes; its spaces say {expected}")
        return self.map(codes.to(parameter), source=self.first_space, target=self.first_space if space is None else space)

    @torch.no_grad()
    def centre(self, space: str) -> Codes:
        """(1, *spaces[space]) the code in the middle of the prior: zeros in z and p_n, the mean class, w̄, and what these map to.

        The middle of `noise` is the checkpoint's own maps.
        """
        self._check_space(space)
        return self.noise_maps() if space == "noise" else self._centre(space)

    def _centre(self, space: str) -> Codes:
        first = self.first_space
        return self.map(next(self.parameters()).new_zeros(1, *self.spaces[first]), source=first, target=space)

    @torch.no_grad()
    def spread(self, space: str | None = None, n: int = 64) -> Tensor:
        """The standard deviation of all numbers of `n` codes that the prior draws, of a fixed seed; a scalar. Raises ValueError below 2."""
        if not is_whole(n) or n < 2:
            raise ValueError(f"{self}: cannot tell the spread of {n!r} codes; give a whole number from 2 on")
        space = self.first_space if space is None else space
        source = "noise" if space == "noise" else self.first_space
        codes = self.sample(n, torch.Generator().manual_seed(0), source)
        rows, each = [], 0
        for part in torch.split(codes, _CHUNK):
            for row in self.map(part, source=source, target=space):
                rows.append(torch.stack(torch.var_mean(row.cpu().double(), correction=0)))  # not every device has float64
                each = row.numel()
        # the squares within the rows, and those of the rows' means
        within, means = torch.stack(rows).T
        return codes.new_tensor(((within.mean() + means.var(correction=0)) * (n * each / (n * each - 1))).sqrt().item())

    def resumed(self, codes: Codes, space: str) -> Self:
        """The same prior, weights shared, whose `features@k` go on with what later blocks need of `codes` (B or 1, *spaces[space]).

        Where features carry all that later blocks need, that is the prior itself; style priors go on with the codes' styles, through
        which gradients reach the codes. Cheap enough to be called at every step. Raises ValueError for codes that have no styles.
        """
        self._check(codes, space)
        return self

    def decode(self, codes: Codes, space: str | None = None, *, label: Tensor | None = None, noise: Noise = "const") -> Images:
        """Images (B, C, H, W) of codes (B, *spaces[space]); in [0, 1], not clamped: 2x − 1 is the network's own output.

        Args:
            label: class indices (B,) or weights (B, n_classes), for class-conditional priors.
            noise: what style generators add to their features: a mode, which has no effect on a prior without noise inputs, or
                codes of the space `noise`, one row for each image or one for all.

        Raises:
            ValueError: no such space or noise, codes or noise of another shape or type, or a label or noise for a prior that takes none.
        """
        space = self.first_space if space is None else space
        self._check(codes, space)
        must_be_label(label, self.n_classes, self)
        self._check_noise(noise, len(codes), space)
        if not len(codes):  # not every network takes none; the sum lets gradients through
            return codes.sum().expand(0, *self.image_shape)
        with self._precision():
            if self._goes_by_row(codes, label):
                own = self._by_row(codes, label, noise)
                images = torch.cat([prior._decode(code, space, of, maps) for prior, code, of, maps in own])
            else:
                images = self._decode(codes, space, label, noise)
        self._check_drawn(images, codes)
        return images.to(codes.dtype).contiguous()  # wherever the channels lay: sums over them round alike

    def map(
        self, codes: Codes, *, source: str, target: str, label: Tensor | None = None, truncation: float = 1.0, noise: Noise = "const"
    ) -> Codes:
        """Codes (B, *spaces[target]) that draw the same pictures as `codes` (B, *spaces[source]), with the same `noise` beside both.

        Args:
            label: class indices (B,) or weights (B, n_classes), for class-conditional priors.
            truncation: ψ, towards the mean style, of priors that have one; from a space to itself it moves the codes there.
            noise: as in `decode`; features have in them what it adds before their block, and other codes nothing of it.

        Raises:
            ValueError: there is no map or such noise, codes or noise have another shape or type, truncation is no number, or a label,
                noise or truncation is given to a prior that takes none.
        """
        self._check(codes, source)
        must_be_label(label, self.n_classes, self)
        self._check_space(target)
        if source != target and "noise" in (source, target):
            raise ValueError(f"{self}: no map from {source!r} to {target!r}; noise maps go beside a code, as decode(…, noise=maps)")
        self._check_noise(noise, len(codes), source)
        must_be_number(truncation, f"{self}: truncation")
        if truncation != 1:
            self._check_truncated(source, target)
        elif source == target:
            return codes
        if not len(codes):
            self._try_map(codes, source, target, label, truncation)
            return codes.sum().expand(0, *self.spaces[target])
        with self._precision():
            if self._goes_by_row(codes, label) and (_SINGLY.get() or is_features(target)):
                own = self._by_row(codes, label, noise)
                mapped = torch.cat([prior._map(code, source, target, of, truncation, maps) for prior, code, of, maps in own])
            else:
                mapped = self._map(codes, source, target, label, truncation, noise)
        mapped = mapped.to(codes.dtype)
        return mapped.contiguous() if is_features(target) else mapped

    @torch.no_grad()
    def _try_map(self, none: Codes, source: str, target: str, label: Tensor | None, truncation: float) -> None:
        """Raise what mapping codes would, of which there are none."""
        with self._precision():
            of = None if label is None else label.new_zeros(1, *label.shape[1:])
            self._map(none.new_zeros(1, *self.spaces[source]), source, target, of, truncation, "const")

    @property
    def row_by_row(self) -> bool:
        """Whether pictures of a batch are drawn one after another, so that each is to the last bit what it is alone."""
        return next(self.parameters()).device.type == "cpu" and (self.rounds_together or _SINGLY.get() or not rounds_alike())

    def _goes_by_row(self, codes: Codes, label: Tensor | None) -> bool:
        """Whether these codes, at least one, are to be taken one after another; a label of another length is told by the family."""
        return self.row_by_row and (label is None or len(label) == len(codes))

    def _by_row(self, codes: Codes, label: Tensor | None, noise: Noise) -> Iterator[tuple[Prior, Codes, Any, Any]]:
        """For each row the prior, and what is its own of codes, label and noise."""
        n = len(codes)
        return zip((self._of_row(i, n) for i in range(n)), _rows(codes, n), _rows(label, n), _rows(noise, n), strict=True)

    def _of_row(self, i: int, n: int) -> Prior:
        """The prior for row `i` of `n`, where it holds something of each."""
        return self

    def _check_space(self, space: str) -> None:
        if not isinstance(space, str) or space not in self.spaces:
            raise ValueError(f"{self}: has no space {space!r}; it has {', '.join(self.spaces)}")

    def _shape(self, space: str) -> tuple[int, ...]:
        """Of a code there. Raises ValueError where an own prior's `spaces` does not say."""
        shape = self.spaces[space]
        if not isinstance(shape, Sequence) or not all(map(is_whole, shape)):
            raise ValueError(f"{self}: spaces has {shown(shape)} for {space!r}; give the shape of a code, such as (6,)")
        return tuple(shape)

    def _check(self, codes: Codes, space: str) -> None:
        self._check_space(space)
        if not isinstance(codes, Tensor):
            raise ValueError(f"{self}: expected codes in {space!r} as a tensor, got {shown(codes)}")
        self._check_kind(codes, "codes")
        if tuple(codes.shape[1:]) != self._shape(space):
            expected = ", ".join(map(str, self._shape(space)))
            raise ValueError(f"{self}: expected codes of shape (B, {expected}) in {space!r}, got {tuple(codes.shape)}")

    def _check_kind(self, numbers: Tensor, name: str) -> None:
        like = next(self.parameters(), numbers)
        if (numbers.dtype, numbers.device.type) != (like.dtype, like.device.type):
            raise ValueError(
                f"{self}: {name} are {numbers.dtype} on {numbers.device}, and the prior is {like.dtype} on {like.device}; "
                "bring them there with .to(next(prior.parameters()))"
            )

    def _check_truncated(self, source: str, target: str) -> None:
        """Raises ValueError where a map between these spaces has no style to truncate. Left out, `_map` says so."""

    def _check_drawn(self, images: Images, codes: Codes) -> None:
        expected = (len(codes), *self.image_shape)
        if _form(images) != expected:
            raise ValueError(f"{self}: draws {_form(images)} of {len(codes)} codes; its image_shape says {expected}")
        if torch.is_grad_enabled() and codes.requires_grad and not images.requires_grad:
            raise ValueError(f"{self}: lets no gradient through to its codes; draw with differentiable torch functions")

    def _check_noise(self, noise: Noise, n: int, space: str) -> None:
        if not isinstance(noise, Tensor):
            if noise not in get_args(NoiseMode):
                modes = ", ".join(get_args(NoiseMode))
                raise ValueError(f"{self}: noise is {noise!r}; it must be one of {modes}, or codes of the space noise")
            return
        if not (size := self.noise_size):
            raise ValueError(f"{self}: has no noise inputs; leave noise out")
        if space == "noise":
            raise ValueError(f"{self}: codes in 'noise' are the noise maps; leave noise out")
        self._check_kind(noise, "noise maps")
        if noise.ndim != 2 or noise.shape[0] not in (1, n) or noise.shape[1] != size:
            rows = "(1, " if n == 1 else f"({n}, {size}) or (1, "
            raise ValueError(f"{self}: expected noise of shape {rows}{size}), got {tuple(noise.shape)}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'×'.join(map(str, self.image_shape))})"


def _form(value: object) -> tuple[int, ...] | str:
    """A tensor's shape; of anything else its kind."""
    return tuple(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _rows(value: Any, n: int) -> Sequence[Any]:
    """The `n` rows of a tensor, or its only one for all; so a mode or None."""
    return rows_apart(value.expand(n, *value.shape[1:])) if isinstance(value, Tensor) else [value] * n
