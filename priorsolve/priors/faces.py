"""The `ffhq…` priors: the face network of the zoo, whole or cut early with a head of our own."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from torch import Tensor

from priorsolve.priors.mobilestylegan import MobileStyleGAN
from priorsolve.priors.mobilestylegan_ir import read_mobilestylegan
from priorsolve.priors.safetensors_file import read_safetensors

_WHOLE = "ffhq1024"


def load_faces(name: str, folder: Path) -> MobileStyleGAN:
    """The prior `name` (ffhq1024, or one of those cut from it) from the weights in `folder`, with what `data/heads` adds to them.

    w̄ and the whitening come from there too, measured once on 65 536 codes, so that they are the same numbers on every machine.
    """
    whitening, _ = _shipped("ffhq-whitening")
    state = read_mobilestylegan(folder) | {f"whitening.{key}": value for key, value in whitening.items()}
    whole = MobileStyleGAN.from_state(state)
    if name == _WHOLE:
        return whole
    head, at = _shipped(name)
    return whole.cut(at["at"], head)


def _shipped(name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file in `data/heads`."""
    with as_file(files("priorsolve.data") / "heads" / f"{name}.safetensors") as path:
        return read_safetensors(path)
