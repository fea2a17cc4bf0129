"""What each input added to a forecast: gradients integrated on the way from a baseline to the inputs."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from tsrnn.nn.model import Params
from tsrnn.types import Batch

__all__ = ["Attributions", "flat_history", "integrated_gradients", "point_forecast"]


class Attributions(NamedTuple):
    """What the inputs added; O is the number of outputs. The inputs of a window are fields of its `Batch`.

    Attributes
    ----------
    context : array of shape (O, B, T, C)
        The target's own history.
    past, future : arrays of shape (O, B, T, F) and (O, B, H, F)
        Numeric covariates and calendar.
    static : array of shape (O, B, S)
        Numeric static covariates.
    categories : array of shape (O, B, K)
        The embedding tables, by name in sorted order: each categorical covariate over all steps.
    """

    context: Float[Array, "O B T C"]
    past: Float[Array, "O B T F"]
    future: Float[Array, "O B H F"]
    static: Float[Array, "O B S"]
    categories: Float[Array, "O B K"]


def flat_history(batch: Batch, flags: Mapping[str, NDArray[np.bool_]]) -> Batch:
    """The baseline: a history that stays at the mean of what was observed, and inputs that are zero, but for flags.

    Parameters
    ----------
    batch : Batch
        Windows.
    flags : mapping of str to array of bool, shape (F,)
        Which columns of ``past``, ``future`` and ``static`` say whether others were observed.
    """
    seen, x = batch.context_observed, batch.context
    n = jnp.maximum(seen.sum(axis=1, keepdims=True), 1).astype(x.dtype)
    start = batch._replace(context=jnp.where(seen, x.sum(axis=1, keepdims=True) / n, 0))
    return start._replace(**{name: jnp.where(kept, getattr(batch, name), 0) for name, kept in flags.items()})


@partial(jax.jit, static_argnames=("model",))
def point_forecast(model: Any, params: Params, batch: Batch, categories: Array | None = None) -> Float[Array, "B H C"]:
    """The point forecast; with ``categories``, of shape (B, K), every window's embeddings times these numbers."""
    if categories is not None:
        params, batch = _own_tables(params, batch, categories)
    output = getattr(model, "model", model).output
    point: Array = output.forecast(model(params, batch), jnp.zeros(0, batch.context.dtype))[..., 0]
    return point


@partial(jax.jit, static_argnames=("model", "n_points"))
def integrated_gradients(
    model: Any, params: Params, batch: Batch, start: Batch, weights: Float[Array, "O B H C"], *, n_points: int
) -> Attributions:
    """Integrated gradients of weighted sums of the point forecast, from one batch to another.

    Window normalization is a part of the path: that the forecast starts from the level of the window is attributed to
    the values that make this level.

    Parameters
    ----------
    model : Model or SmoothedModel
        The model.
    params : pytree
        Its weights.
    batch, start : Batch
        Inputs and baseline; only their numbers differ. Embeddings begin as zero.
    weights : array of shape (O, B, H, C)
        Of each output, the weights of the steps and channels of the forecast.
    n_points : int
        Points of the Gauss-Legendre rule on the straight line between both.

    Returns
    -------
    Attributions
        They sum to the output of ``batch`` less that of ``start``, up to the error of the rule.

    References
    ----------
    M. Sundararajan, A. Taly and Q. Yan (2017), Axiomatic attribution for deep networks, ICML, arXiv 1703.01365.
    """
    names = Attributions._fields[:-1]
    ones = jnp.ones((len(batch.context), len(params.get("embeddings", {}))), batch.context.dtype)
    end, begin = (
        Attributions(*[getattr(part, name) for name in names], categories)  # type: ignore[call-arg]
        for part, categories in ((batch, ones), (start, jnp.zeros_like(ones)))
    )
    way = jax.tree.map(jnp.subtract, end, begin)

    def forecast(inputs: Attributions) -> Array:
        fields = dict(zip(names, inputs[:-1], strict=True))
        values: Array = point_forecast(model, params, batch._replace(**fields), inputs.categories)
        return values

    def add(total: Attributions, rule: tuple[Array, Array]) -> tuple[Attributions, None]:
        place, weight = rule
        _, back = jax.vjp(forecast, jax.tree.map(lambda a, b: a + place * b, begin, way))
        gradients = jax.lax.map(lambda w: back(w)[0], weights)
        return jax.tree.map(lambda a, g: a + weight * g, total, gradients), None

    places, rule = np.polynomial.legendre.leggauss(n_points)
    points = jnp.asarray((places + 1) / 2, ones.dtype), jnp.asarray(rule / 2, ones.dtype)
    nothing = jax.tree.map(lambda a: jnp.zeros((len(weights), *a.shape), a.dtype), way)
    mean, _ = jax.lax.scan(add, nothing, points)
    attributions: Attributions = jax.tree.map(lambda g, w: g * w[None], mean, way)
    return attributions


def _own_tables(params: Params, batch: Batch, categories: Float[Array, "B K"]) -> tuple[Params, Batch]:
    """Embedding tables in which every window has rows of its own, times its number; the codes that find them."""
    tables, own, at = params.get("embeddings", {}), {}, {}
    b = len(batch.context)
    for k, name in enumerate(sorted(tables)):
        rows, width = tables[name].shape
        own[name] = (categories[:, k, None, None] * tables[name][None]).reshape(b * rows, width)
        at[name] = jnp.arange(b, dtype=batch.past_codes.dtype) * rows

    def moved(codes: Array, kinds: tuple[str, ...]) -> Array:
        shifts = [at[name] for kind in kinds for name in tables if name.startswith(f"{kind}_")]
        if not shifts:
            return codes
        shift = jnp.stack(shifts, axis=-1)
        return codes + (shift[:, None] if codes.ndim == 3 else shift)

    fields = {
        "past_codes": moved(batch.past_codes, ("past", "future")),
        "future_codes": moved(batch.future_codes, ("future",)),
        "static_codes": moved(batch.static_codes, ("static",)),
    }
    return ({**params, "embeddings": own} if own else params), batch._replace(**fields)
