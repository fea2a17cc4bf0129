"""Axis letters, array aliases and the one structure that crosses from the frame wing to the array wing.

Axes, one letter each, in every array signature of the package:

====  =======================================================
B     windows in a batch
T     time steps the network reads (``context_length``)
H     time steps ahead (``horizon``)
C     target channels (1 unless several targets are learned jointly)
D     hidden size
F     inputs known for a step besides the target (covariates, calendar)
N     series in a panel
Q     quantiles
R     rows of a panel, all series one after the other
====  =======================================================
"""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float

__all__ = ["Batch"]


class Batch(NamedTuple):
    """Windows gathered from a panel; a pytree, every leaf with the same leading axis.

    Attributes
    ----------
    context : array of shape (B, T, C)
        Target history in the units of the fitted transform; 0 where missing or padded.
    context_observed : array of bool, shape (B, T, C)
        Where ``context`` was measured.
    valid : array of bool, shape (B, T)
        False on the left padding of a history shorter than T.
    past : array of shape (B, T, F)
        Covariates and calendar features of the history (past and future covariates).
    future : array of shape (B, H, F)
        What is known ahead: future covariates and calendar features.
    target : array of shape (B, H, C)
        Values to forecast; 0 where missing.
    target_observed : array of bool, shape (B, H, C)
        Where ``target`` was measured; the loss counts nothing else.
    """

    context: Float[Array, "B T C"]
    context_observed: Bool[Array, "B T C"]
    valid: Bool[Array, "B T"]
    past: Float[Array, "B T F"]
    future: Float[Array, "B H F"]
    target: Float[Array, "B H C"]
    target_observed: Bool[Array, "B H C"]
