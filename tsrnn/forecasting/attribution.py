"""Attributions of a forecast to the inputs of a network, as a long frame."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.data import Panel
from tsrnn.forecasting.inputs import Inputs
from tsrnn.nn.attribution import Attributions, flat_history, integrated_gradients, point_forecast
from tsrnn.nn.model import Params
from tsrnn.transforms import AbstractTransform, Chain, Covariates, Fitted
from tsrnn.transforms.base import AbstractPointwise
from tsrnn.types import Batch

__all__ = ["attribute", "check_transforms", "labels"]

Floats = NDArray[np.float64]

_FLAGGED = ("past", "future", "static")
"""Inputs with columns that say whether others were observed."""


class Labels(NamedTuple):
    """Names of the inputs, one a column; None where a column only says whether another was observed."""

    context: list[str]
    past: list[str | None]
    future: list[str | None]
    static: list[str | None]
    categories: list[str]


def labels(panel: Panel, inputs: Inputs, n_past: int, n_future: int, tables: Sequence[str]) -> Labels:
    """The names of the columns of a batch of this panel.

    Parameters
    ----------
    panel : Panel
        The rows.
    inputs : Inputs
        What makes columns of them.
    n_past, n_future : int
        Columns of the history, and of what is known ahead.
    tables : sequence of str
        Names of the embedding tables, sorted.
    """
    schema = panel.schema

    def numeric(names: Sequence[str], n: int | None, rest: str) -> list[str | None]:
        own = [name for name in names if name not in inputs.vocabularies]
        given: list[str | None] = [*own, *[None] * len(own)]
        return given if n is None else given + [rest] * (n - len(given))

    future = numeric(schema.future_covariates, n_future, "calendar")
    past = numeric(schema.past_covariates, n_past - n_future, "elapsed time") + future
    kinds = {
        "past": schema.past_covariates, "future": schema.future_covariates, "static": schema.static_covariates,
    }  # fmt: skip
    categorical = {kind: [name for name in names if name in inputs.vocabularies] for kind, names in kinds.items()}
    found = [categorical[kind][int(i)] for kind, _, i in (table.partition("_") for table in tables)]
    targets = list(schema.targets) if len(schema.targets) == panel.values.shape[1] else ["target"]
    return Labels(targets, past, future, numeric(schema.static_covariates, None, ""), found)


def attribute(
    model: Any,
    params: Params,
    batch: Batch,
    names: Labels,
    panel: Panel,
    longer: Panel,
    fitted: Fitted | None,
    steps: Sequence[int] | None,
    n_points: int,
) -> pd.DataFrame:
    """Attributions of the forecasts from the end of every series; see `Forecaster.attribute`.

    Parameters
    ----------
    model, params
        A fitted model.
    batch : Batch
        A window for each series of the panel.
    names : Labels
        Of its columns.
    panel, longer : Panel
        The history, and the same with room for the horizon.
    fitted : Fitted or None
        What brings forecasts back to the units of the data.
    steps : sequence of int or None
        The steps ahead, or all of them on average.
    n_points : int
        Points of the integration.
    """
    flags = {kind: np.array([name is None for name in getattr(names, kind)], bool) for kind in _FLAGGED}
    start = flat_history(batch, flags)
    nothing = jnp.zeros((len(panel.ids), len(names.categories)), batch.context.dtype)
    ends = point_forecast(model, params, batch), point_forecast(model, params, start, nothing)
    forecast, baseline = (np.asarray(values, np.float64) for values in ends)
    slope = _slope(forecast, baseline, panel, fitted)
    _, horizon, channels = slope.shape
    each = np.eye(horizon)[[step - 1 for step in steps]] if steps is not None else np.full((1, horizon), 1 / horizon)
    weights = np.einsum("sh,bhc,ck->skbhc", each, slope, np.eye(channels)).reshape(-1, *slope.shape)
    found = integrated_gradients(
        model, params, batch, start, jnp.asarray(weights, batch.context.dtype), n_points=n_points
    )
    parts = [
        _rows(kind, jax.tree.map(np.asarray, found), names, np.asarray(batch.valid), panel, longer)
        for kind in Attributions._fields
    ]
    frame = pd.concat([part for part in parts if len(part)], ignore_index=True)
    series, output = frame.pop("series").to_numpy(), frame.pop("output").to_numpy()
    frame.insert(0, panel.schema.id_col, panel.labels[series, output % channels])
    if steps is not None:
        frame.insert(2, "step", np.asarray(steps)[output // channels])
    order = np.lexsort([output // channels, output % channels, series])
    return frame.iloc[order].reset_index(drop=True).infer_objects()


def check_transforms(spec: AbstractTransform | None) -> None:
    """Refuse transforms that make a forecast of the forecasts before it: their units are not those of a single step."""
    steps = spec.steps if isinstance(spec, Chain) else () if spec is None else (spec,)
    other = next((step for step in steps if not isinstance(step, (AbstractPointwise, Covariates))), None)
    if other is not None:
        raise ValueError(
            f"with {type(other).__name__}() a step of the forecast is made of the steps before it, and has no "
            "attributions of its own; leave it out of transforms."
        )


def _slope(forecast: Floats, baseline: Floats, panel: Panel, fitted: Fitted | None) -> Floats:
    """Units of the data for one of the transformed series: between both forecasts, so that sums remain sums."""
    if fitted is None:
        return np.ones_like(forecast)
    apart = np.where(np.abs(forecast - baseline) > 1e-6, forecast - baseline, 1e-6)
    both = np.stack([baseline, baseline + apart], axis=-1)
    back = fitted.inverse_forecast(both, panel, np.arange(len(panel.ids)), panel.lengths)
    return np.asarray((back[..., 1] - back[..., 0]) / apart)


def _rows(
    kind: str, found: Attributions, names: Labels, valid: NDArray[np.bool_], panel: Panel, longer: Panel
) -> pd.DataFrame:
    """The attributions of one kind of input, a row for each series, output, stamp and name."""
    values, own = getattr(found, kind), getattr(names, kind)
    if values.ndim == 3:  # constant in the window
        values, known = values[:, :, None], np.ones((values.shape[1], 1), bool)
    elif kind == "future":
        known = np.ones(values.shape[1:3], bool)
    else:
        known = valid
    shown = list(dict.fromkeys(name for name in own if name is not None))
    columns = [[i for i, name in enumerate(own) if name == label] for label in shown]
    table = np.stack([values[..., places].sum(axis=-1) for places in columns], axis=-1) if shown else values[..., :0]
    at = np.nonzero(np.broadcast_to(known[None, :, :, None], table.shape))
    output, series, step, name = at
    if kind in ("static", "categories"):
        stamps = pd.Series([None] * len(step), dtype="datetime64[ns]" if panel.times.dtype.kind == "M" else "Int64")
    else:
        back = 0 if kind == "future" else values.shape[2]
        stamps = longer.stamps(longer.times[longer.indptr[series] + panel.lengths[series] + step - back])
    return pd.DataFrame(
        {
            "series": series,
            "output": output,
            panel.schema.time_col: stamps,
            "input": np.array(shown, dtype=object)[name],
            "attribution": table[at].astype(np.float64),
        }
    )
