"""Hypothesis strategies: small long frames of every kind that a panel can be made of."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from hypothesis import strategies as st

CALENDAR = ("s", "15min", "h", "D", "B", "W", "MS", "ME", "QS", "QE", "YS", "YE")
"""One pandas alias of each kind of step."""

INTEGER = (1, 3)
"""Steps of integer time."""

VALUES = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


class LongFrame(NamedTuple):
    """A drawn frame and the step of its grid."""

    df: pd.DataFrame
    freq: str | int


def grid(freq, n, start="2023-12-30", unit="us"):
    """The first ``n`` stamps of a grid."""
    if isinstance(freq, int):
        return int(pd.Timestamp(start).year) + freq * np.arange(n)
    return pd.date_range(start, periods=n, freq=freq).as_unit(unit).to_numpy()


def frame_of(series, **columns):
    """A long frame from ``{name: (times, values)}``, one series after the other."""
    parts = [pd.DataFrame({"unique_id": name, "ds": ds, "y": y}) for name, (ds, y) in series.items()]
    return pd.concat(parts, ignore_index=True).assign(**columns)


def gap_free(freq="D", lengths=(5,), n_channels=1, seed=0):
    """A long frame of full random series named ``a``, ``b`` ...; further channels in columns ``y1``, ``y2`` ..."""
    rng = np.random.default_rng(seed)
    df = frame_of({chr(97 + i): (grid(freq, n), rng.normal(10, 3, n)) for i, n in enumerate(lengths)})
    return df.assign(**{f"y{c}": rng.normal(size=len(df)) for c in range(1, n_channels)})


def _kept(n, size):
    """Up to ``n`` of ``size`` steps, two neighbours among them: a series that skips every other step is refused."""
    rest = st.lists(st.integers(0, size - 1), min_size=max(0, n - 2), max_size=max(0, n - 2), unique=True)
    pair = st.integers(0, size - 2).map(lambda k: [k, k + 1][:n])
    return st.tuples(pair, rest).map(lambda parts: sorted({*parts[0], *parts[1]}))


@st.composite
def long_frames(draw, *, freqs=CALENDAR + INTEGER, max_series=3, min_rows=1, max_rows=10, gaps=True, missing=True):
    """Several unequal series on one grid: gaps, missing values, rows of the series mixed, names of two types."""
    freq = draw(st.sampled_from(freqs))
    names = draw(st.sampled_from((["b", "a", "c d"], [7, 3, 11])))[: draw(st.integers(1, max_series))]
    start = draw(st.dates(pd.Timestamp("1960-01-01").date(), pd.Timestamp("2040-01-01").date()))
    unit = draw(st.sampled_from(("s", "us", "ns")))
    series = {}
    for name in names:
        n = draw(st.integers(min_rows, max_rows))
        kept = draw(_kept(n, max_rows + 4)) if gaps else range(n)
        ds = grid(freq, max_rows + 4, start, unit)[list(kept)]
        y = draw(st.lists(VALUES | st.just(np.nan) if missing else VALUES, min_size=len(ds), max_size=len(ds)))
        series[name] = ds, np.asarray(y, dtype=float)
    df = frame_of(series)
    turns = draw(st.permutations(df["unique_id"].tolist()))
    owners = pd.Series(turns)
    place = owners.groupby(owners).cumcount()
    rows = [np.flatnonzero(df["unique_id"] == name)[k] for name, k in zip(turns, place, strict=True)]
    return LongFrame(df.iloc[rows].reset_index(drop=True), freq)


def by_series(df, id_col="unique_id"):
    """The rows of each series together, series in the order in which they first appear."""
    codes, _ = pd.factorize(df[id_col])
    return df.iloc[np.argsort(codes, kind="stable")].reset_index(drop=True)
