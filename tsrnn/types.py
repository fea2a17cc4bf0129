"""Axis letters, array aliases and the one structure that crosses from the frame wing to the array wing.

Axes, one letter each, in every array signature of the package:

====  =======================================================
B     windows in a batch
T     time steps the network reads (``context_length``)
H     time steps ahead (``horizon``)
C     target channels (1 unless several targets are learned jointly)
D     hidden size
F     inputs known for a step besides the target (covariates, calendar)
K     categorical covariates, as codes
N     series in a panel
Q     quantiles
R     rows of a panel, all series one after the other
S     static inputs of a series
====  =======================================================
"""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int

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
    past_codes, future_codes : arrays of int, shapes (B, T, K) and (B, H, K)
        Categorical covariates of the history (past, then future ones) and ahead; 0 where missing, unseen or padded.
    static : array of shape (B, S)
        Static covariates of each window's series.
    static_codes : array of int, shape (B, K)
        Its categorical static covariates; 0 where missing or unseen.
    target : array of shape (B, H, C)
        Values to forecast; 0 where missing.
    target_observed : array of bool, shape (B, H, C)
        Where ``target`` was measured; the loss counts nothing else.
    series : array of int, shape (B,), optional
        Code of each window's series, 0 if it was not there in training; for networks with weights for each series.
    step : array of int, shape (B,), optional
        Number of the first step ahead, counted from a fixed time; given with ``series``.
    """

    context: Float[Array, "B T C"]
    context_observed: Bool[Array, "B T C"]
    valid: Bool[Array, "B T"]
    past: Float[Array, "B T F"]
    future: Float[Array, "B H F"]
    past_codes: Int[Array, "B T K"]
    future_codes: Int[Array, "B H K"]
    static: Float[Array, "B S"]
    static_codes: Int[Array, "B K"]
    target: Float[Array, "B H C"]
    target_observed: Bool[Array, "B H C"]
    series: Int[Array, " B"] | None = None
    step: Int[Array, " B"] | None = None
