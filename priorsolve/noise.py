"""Noises by their short name: `from priorsolve.noise import Gaussian`, or `ps.noise.Gaussian`."""

from priorsolve.operators.noise import Chain, Gaussian, Noise, Photons, Poisson, SaltPepper

__all__ = ["Chain", "Gaussian", "Noise", "Photons", "Poisson", "SaltPepper"]
