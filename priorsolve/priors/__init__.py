"""Pretrained generators behind one face.

`load_prior` gives a frozen prior by its name in the `ZOO` or from a checkpoint file; every prior is a `Prior`.
"""

from priorsolve.priors.base import NoiseMode, Prior
from priorsolve.priors.biggan import BigGAN
from priorsolve.priors.biggan_deep import BigGANDeep
from priorsolve.priors.biggan_discriminator import BigGANDiscriminator
from priorsolve.priors.cache import CacheError, DownloadError, FetchError, WrongFileError, cache_folder
from priorsolve.priors.checkpoint import Checkpoint, read_checkpoint, read_state
from priorsolve.priors.conditional_dcgan import ConditionalDCGAN
from priorsolve.priors.dcgan import DCGAN
from priorsolve.priors.decoders import Decoder
from priorsolve.priors.download import cached_path, fetch
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.laws import check_prior_laws
from priorsolve.priors.linear import LinearPrior
from priorsolve.priors.load import load_prior
from priorsolve.priors.mobilestylegan import MobileStyleGAN
from priorsolve.priors.pggan import PGGAN
from priorsolve.priors.saved import save_prior
from priorsolve.priors.stylegan2 import StyleGAN2
from priorsolve.priors.stylegan3 import StyleGAN3
from priorsolve.priors.zoo import ZOO, Entry

__all__ = [
    "DCGAN",
    "PGGAN",
    "ZOO",
    "BigGAN",
    "BigGANDeep",
    "BigGANDiscriminator",
    "CacheError",
    "Checkpoint",
    "CheckpointError",
    "ConditionalDCGAN",
    "Decoder",
    "DownloadError",
    "Entry",
    "FetchError",
    "LinearPrior",
    "MobileStyleGAN",
    "NoiseMode",
    "Prior",
    "StyleGAN2",
    "StyleGAN3",
    "WrongFileError",
    "cache_folder",
    "cached_path",
    "check_prior_laws",
    "fetch",
    "load_prior",
    "read_checkpoint",
    "read_state",
    "save_prior",
]
