"""A prior of your own: anything that draws pictures from codes, differentiably. Here no network at all, but a coloured disc.

Run: python examples/own_prior.py [STEPS]
"""

import sys
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

import priorsolve as ps
from priorsolve.types import Codes, Images, Shape


class Painter(nn.Module):
    """Paints a disc with a soft edge on a background of one colour."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.background = nn.Parameter(torch.tensor([0.1, 0.1, 0.3]), requires_grad=False)
        self.size = size

    def forward(self, z: Codes) -> Images:
        """(B, 3, size, size) of codes (B, 6): right, down, radius, and three of colour."""
        line = torch.linspace(-1, 1, self.size).to(z)
        across, down = torch.tanh(z[:, :2]).view(-1, 2, 1, 1).unbind(1)
        radius = 0.2 + 0.5 * torch.sigmoid(z[:, 2]).view(-1, 1, 1)
        distance = ((line - across) ** 2 + (line[:, None] - down) ** 2 + 1e-6).sqrt()
        inside = torch.sigmoid(8 * (radius - distance)).unsqueeze(1)
        colour, background = torch.sigmoid(z[:, 3:]).view(-1, 3, 1, 1), self.background.view(1, 3, 1, 1)
        return inside * colour + (1 - inside) * background


class Discs(ps.priors.Prior):
    """Pictures of one disc each; z ~ N(0, I) has 6 numbers."""

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        self.painter = Painter(size)
        self.eval()

    @property
    def image_shape(self) -> Shape:
        return (3, self.painter.size, self.painter.size)

    @property
    def spaces(self) -> Mapping[str, Shape]:
        return {"z": (6,)}

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.painter]

    def _sample(self, n: int, rng: torch.Generator) -> Codes:
        return torch.randn(n, 6, generator=rng, device="cpu", dtype=torch.float32)

    def _decode(self, codes: Codes, space: str, label: Tensor | None, noise: str | Tensor) -> Images:
        images: Images = self.painter(codes)
        return images

    def _map(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: str | Tensor) -> Codes:
        raise ValueError(f"{self}: no map from {source!r} to {target!r}; it has one space")


def main(steps: int = 200) -> None:
    """Find a disc of which only the upper half can be seen, in noise."""
    prior = Discs()
    truth = prior.sample(1, rng=torch.Generator().manual_seed(1))
    A = ps.operators.Holes(half="bottom")
    clean = A.A(prior.decode(truth))
    y = ps.noise.Gaussian(0.05)(clean, rng=torch.Generator().manual_seed(2), where=A.support(torch.ones_like(clean)))
    solution = ps.solvers.Latent(prior, steps=steps)(y, A)
    for name, codes in (("true", truth), ("found", solution.codes["z"])):
        print(f"{name:5s} code: {', '.join(f'{value:+.2f}' for value in codes[0].tolist())}")
    print(f"residual {float(solution.residual):.4f} in noise of 0.05; {solution.stopped[0].value}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
