"""Dropout whose rate may be data."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Dropout"]


class Dropout(nn.Module):
    """Set a share of the values to zero and scale up the others, so that the mean stays.

    flax's, and its bits, but for a rate that may be a traced number: members of other rates share one program.

    Parameters
    ----------
    rate : float or array of shape ()
        The share, in [0, 1). Where it is the Python number 0, no random numbers are drawn.
    deterministic : bool
        Whether all values pass as they are.

    References
    ----------
    N. Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from overfitting, Journal of Machine
    Learning Research 15.
    """

    rate: float | Float[Array, ""]
    deterministic: bool

    @nn.compact
    def __call__(self, xs: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Drop."""
        if self.deterministic or (isinstance(self.rate, (int, float)) and self.rate == 0):
            return xs
        keep = jnp.asarray(1 - self.rate, xs.dtype)
        kept = jax.random.bernoulli(self.make_rng("dropout"), keep, xs.shape)
        return jnp.where(kept, xs / keep, 0)
