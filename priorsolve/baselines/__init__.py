"""Classical restorations to compare with: none has a network, none sees the original.

They are Pillow's, scikit-image's and PyWavelets' own functions where there is one. Lasso is not scikit-learn's, which needs the whole
matrix: the same problem is solved with A and Aᵀ alone, and tested against it.
"""

from priorsolve.baselines.base import Baseline, Problem
from priorsolve.baselines.biharmonic import BIHARMONIC
from priorsolve.baselines.classical import CLASSICAL
from priorsolve.baselines.copy import COPY
from priorsolve.baselines.enlarge import BICUBIC, LANCZOS
from priorsolve.baselines.lasso import LASSO_DCT, LASSO_WAVELET
from priorsolve.baselines.pinv import PINV
from priorsolve.baselines.richardson_lucy import RICHARDSON_LUCY
from priorsolve.baselines.tv import TV
from priorsolve.baselines.wiener import WIENER

__all__ = ["BASELINES", "Baseline", "Problem"]

BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        COPY,
        BICUBIC,
        LANCZOS,
        BIHARMONIC,
        TV,
        WIENER,
        RICHARDSON_LUCY,
        LASSO_DCT,
        LASSO_WAVELET,
        CLASSICAL,
        PINV,
    )
}
"""The baselines by name, in the order of the tables."""
