"""Whether a gradient leads from what was made back to what it was made of."""

from __future__ import annotations

from torch import Tensor
from torch.autograd.graph import get_gradient_edge


def leads_back(made: Tensor, given: Tensor) -> bool:
    """Whether a gradient of `made` comes to `given`, and not only to parameters on the way. Nothing is computed for it."""
    if not made.requires_grad:
        return False
    goal, seen, ahead = get_gradient_edge(given).node, set(), [get_gradient_edge(made).node]
    while ahead:
        node = ahead.pop()
        if node is goal:
            return True
        if node not in seen:
            seen.add(node)
            ahead += [before for before, _ in node.next_functions if before is not None]
    return False


class Following:
    """Asks the same of all that one function makes: the first time of the whole graph, then only whether there is a gradient."""

    def __init__(self) -> None:
        self._led = False

    def __call__(self, made: Tensor, given: Tensor) -> bool:
        self._led = self._led or leads_back(made, given)
        return self._led and made.requires_grad
