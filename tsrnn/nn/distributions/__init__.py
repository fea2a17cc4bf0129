"""Distributions as outputs of a network: their parameters are learned by maximum likelihood.

All come from here: ``from tsrnn.nn.distributions import Poisson``. Formulas, sources and bounds stand with each.
"""

from tsrnn.nn.distributions.base import AbstractDistribution
from tsrnn.nn.distributions.counts import NegativeBinomial, Poisson, ZeroInflated
from tsrnn.nn.distributions.mixture import Mixture
from tsrnn.nn.distributions.positive import LogNormal, Tweedie
from tsrnn.nn.distributions.real import Laplace, Normal, StudentT

__all__ = [
    "AbstractDistribution",
    "Laplace",
    "LogNormal",
    "Mixture",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "StudentT",
    "Tweedie",
    "ZeroInflated",
]
