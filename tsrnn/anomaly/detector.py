"""The anomaly detector: a forecaster, scorers on its residuals, and an alarm line."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from tsrnn.anomaly import artifact
from tsrnn.anomaly.base import AbstractScorer, Evidence
from tsrnn.anomaly.events import find_events
from tsrnn.anomaly.quality import Recording, choose_sensors
from tsrnn.anomaly.scorers import SCORERS
from tsrnn.anomaly.statistics import highest, joint_score, robust_scale, scale_floor
from tsrnn.anomaly.thresholds import ReturnLevel
from tsrnn.data import Frequency, Panel
from tsrnn.data.validation import check_lengths
from tsrnn.forecasting.base import AbstractForecaster

__all__ = ["AnomalyDetector", "training_rows"]

_MIN_CALIBRATION = 30  # rows; scales and an alarm line from fewer are guesswork


class AnomalyDetector(BaseEstimator):
    """Find rows of a sensor table that a forecaster did not expect, or whose sensors do not fit each other.

    The sensors are learned jointly, as channels of one forecaster. It is fitted on the first part of the training
    rows; the scale and the correlation of its residuals, and the alarm line, come from the rest, which it has not
    seen. Scoring never learns.

    Parameters
    ----------
    forecaster : AbstractForecaster
        Any forecaster; its first step ahead is used, so ``horizon=1`` is enough. A clone of it is fitted. It is
        given a count of time steps instead of stamps (a `SeasonalNaive` needs its ``season_length``): training rows
        seldom hold enough days and weeks for a network to learn the calendar, and what it learns from too few is
        wrong ever after.
    scorers : sequence of str, default ("mahalanobis", "unrest", "drift", "disagreement")
        Kinds of evidence, see `tsrnn.anomaly.scorers`: a spike and a slow fault are seen by different ones. A row's
        score is that of the scorer that is farthest above its own alarm line.
    span : int, default 60
        Memory of the averages in ``unrest``, ``drift`` and ``disagreement``, in rows.
    calibration : float, default 0.3
        Share of the training rows, the last ones, that the forecaster does not learn from.
    false_alarm_every : int or str, default 10000
        How rarely healthy rows may cross the alarm line, all scorers together: in rows, or as a duration like
        ``"30D"``. The line of each scorer is an extrapolation from the largest scores in blocks of the calibration
        rows; see `tsrnn.anomaly.thresholds.ReturnLevel` for how far to trust it.
    merge_gap : int, default 60
        Alarms at most this many time steps apart are one event.
    min_rows : int, default 1
        Rows above the alarm line that an event needs.

    Attributes
    ----------
    forecaster_ : AbstractForecaster
        The fitted clone.
    sensors_ : list of str
        Names of the sensors.
    location_, scale_ : arrays of shape (C,)
        Robust location and scale of the residuals in the calibration rows, in the units of the sensors.
    scorers_ : dict of AbstractScorer
        The fitted scorers.
    limits_ : dict of float
        Alarm line of each scorer, in standardised units; a score is in multiples of it.
    notes_ : list of str
        What was unusual in the training rows and how it was handled, a sentence each.

    Notes
    -----
    A row's residual after a gap is divided by the square root of the steps since the sensor's last value, as a
    random walk's would be, so that an outage does not end in an alarm. The first rows of a table have little history
    before them: to score new data, pass the rows before it too.

    Examples
    --------
    >>> from tsrnn.forecasting.baselines import Naive
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"ds": range(1000), "temp": rng.normal(20, 1, 1000)})
    >>> table.loc[700, "temp"] = 35.0
    >>> detector = AnomalyDetector(Naive(horizon=1)).fit(table[:500])
    >>> detector.detect(table)[["start", "kind", "sensors"]].values.tolist()
    [[700, 'mahalanobis', 'temp 100 %']]
    """

    def __init__(
        self,
        forecaster: AbstractForecaster,
        *,
        scorers: Sequence[str] = ("mahalanobis", "unrest", "drift", "disagreement"),
        span: int = 60,
        calibration: float = 0.3,
        false_alarm_every: int | str = 10_000,
        merge_gap: int = 60,
        min_rows: int = 1,
    ) -> None:
        self.forecaster = forecaster
        self.scorers = scorers
        self.span = span
        self.calibration = calibration
        self.false_alarm_every = false_alarm_every
        self.merge_gap = merge_gap
        self.min_rows = min_rows

    def fit(
        self,
        df: pd.DataFrame,
        *,
        time_col: str = "ds",
        sensors: Sequence[str] | None = None,
        freq: str | int | None = None,
    ) -> Self:
        """Learn what is usual.

        Parameters
        ----------
        df : DataFrame
            A time column and a numeric column a sensor, of a time without faults as far as possible. Empty values,
            missing stamps, repeated stamps and steps back in time are handled and noted in ``notes_``.
        time_col : str, default "ds"
            Column with stamps or integers.
        sensors : sequence of str, optional
            Columns to watch; by default all numeric ones that hold a value.
        freq : str or int, optional
            One time step; inferred when not given.

        Returns
        -------
        Self
            The fitted detector.

        Raises
        ------
        DataError
            If the table cannot be used; the message names row and column.
        ValueError
            If a parameter has an impossible value.
        """
        self._check_parameters()
        df = df.rename(columns=str)
        names, notes = choose_sensors(df, time_col, sensors)
        recording = Recording.read(df, time_col, names, freq)
        panel = recording.panel
        every = _in_rows(self.false_alarm_every, panel.freq)
        held = int(self.calibration * len(panel.times))
        needed = int(np.ceil(_MIN_CALIBRATION / self.calibration))
        check_lengths(panel.ids, panel.lengths, needed, f"{_MIN_CALIBRATION} of them to calibrate on")
        known = panel.lengths - held
        self.time_col_, self.sensors_, self.freq_ = time_col, names, panel.freq
        self.forecaster_ = clone(self.forecaster).fit_panel(_counted(panel).until(known))
        learned = recording.grid < known[0]
        expected = self._expected(recording)
        residuals = self._discounted(recording, expected)
        _, least = robust_scale(residuals[learned], scale_floor(recording.values[learned]))
        self.location_, self.scale_ = robust_scale(residuals[~learned], np.nan_to_num(least))
        evidence = self._evidence(recording, expected)
        self.scorers_: dict[str, AbstractScorer] = {
            name: SCORERS[name].fit(evidence, ~learned, self.span) for name in self.scorers
        }
        self.limits_: dict[str, float] = {}
        self.notes_ = [*notes, *recording.notes]
        for name, scorer in self.scorers_.items():
            parts = scorer.step(scorer.start(), evidence)[1][~learned]
            limit = ReturnLevel.fit(joint_score(parts), every * len(self.scorers), self.span).height
            self.limits_[name] = max(1.0, limit)
            blind = [sensor for sensor, mute in zip(names, np.isnan(parts).all(axis=0), strict=True) if mute]
            if blind:
                self.notes_.append(f"The scorer {name!r} says nothing about {', '.join(blind)}.")
        return self

    def score(self, df: pd.DataFrame) -> pd.DataFrame:
        """How abnormal every row is.

        Parameters
        ----------
        df : DataFrame
            A table with the columns that `fit` saw, in any order of rows.

        Returns
        -------
        DataFrame
            The rows, order and index of ``df``: the time column; for each sensor ``<sensor>-expected`` and
            ``<sensor>-residual`` (in its units) and ``<sensor>-score``; the joint ``score``; and ``kind``, the
            scorer that leads. Scores are in multiples of the alarm line: above 1 is an alarm. They are NaN (and the
            kind is empty) where nothing was measured; the first row has no expected value. ``attrs["notes"]`` lists
            what was unusual in the table.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        check_is_fitted(self, "limits_")
        recording = Recording.read(df.rename(columns=str), self.time_col_, self.sensors_, self.freq_)
        expected = self._expected(recording)
        evidence = self._evidence(recording, expected)
        parts = {name: scorer.step(scorer.start(), evidence)[1] for name, scorer in self.scorers_.items()}
        joint = np.stack([joint_score(part) / self.limits_[name] for name, part in parts.items()])
        single = np.stack([np.sqrt(part) / self.limits_[name] for name, part in parts.items()])
        back = np.argsort(recording.order)
        columns: dict[str, Any] = {self.time_col_: recording.stamps.array}
        by_sensor = zip(self.sensors_, expected.T, recording.values.T, highest(single).T, strict=True)
        for sensor, level, value, height in by_sensor:
            columns[f"{sensor}-expected"] = level[back]
            columns[f"{sensor}-residual"] = (value - level)[back]
            columns[f"{sensor}-score"] = height[back]
        columns["score"] = highest(joint)[back]
        leads = np.asarray(list(parts), dtype=object)[np.nan_to_num(joint).argmax(axis=0)]
        columns["kind"] = np.where(np.isnan(joint).all(axis=0), "", leads)[back]
        scores = pd.DataFrame(columns, index=df.index).astype({"kind": "str"})
        scores.attrs["notes"] = list(recording.notes)
        return scores

    def detect(self, df: pd.DataFrame, scores: pd.DataFrame | None = None) -> pd.DataFrame:
        """Events: stretches of alarms.

        Parameters
        ----------
        df : DataFrame
            The table.
        scores : DataFrame, optional
            What `score` gave for it, to save the work.

        Returns
        -------
        DataFrame
            ``start, end, peak, severity, score, n_rows, kind, sensors``, in time order; see
            `tsrnn.anomaly.events.find_events`.
        """
        check_is_fitted(self, "limits_")
        scores = self.score(df) if scores is None else scores
        return find_events(
            scores, time_col=self.time_col_, sensors=self.sensors_, merge_gap=self.merge_gap, min_rows=self.min_rows
        )

    def save(self, path: str | Path) -> None:
        """Write the fitted detector to a folder: ``detector.json``, and the forecaster in ``forecaster/``.

        Parameters
        ----------
        path : str or Path
            A new folder, or one that holds a saved detector, which is replaced.
        """
        check_is_fitted(self, "limits_")
        artifact.write(
            path,
            self.forecaster_,
            {
                "parameters": {name: v for name, v in self.get_params(deep=False).items() if name != "forecaster"},
                "time_col": self.time_col_,
                "sensors": self.sensors_,
                "freq": self.freq_,
                "notes": self.notes_,
                "location": self.location_,
                "scale": self.scale_,
                "limits": self.limits_,
                "scorers": self.scorers_,
            },
        )

    @classmethod
    def load(cls, path: str | Path, load_forecaster: Callable[[Path], AbstractForecaster]) -> Self:
        """Read a saved detector; its scores are equal to the bit.

        Parameters
        ----------
        path : str or Path
            The folder.
        load_forecaster : callable
            Reads the forecaster's folder: ``tsrnn.load``.

        Raises
        ------
        FileNotFoundError
            If there is no saved detector.
        ValueError
            If it was written by a newer version.
        """
        saved = artifact.read(path)
        fitted = load_forecaster(Path(path) / artifact.FORECASTER)
        detector = cls(clone(fitted), **saved["parameters"])
        detector.forecaster_ = fitted
        detector.time_col_, detector.sensors_, detector.notes_ = saved["time_col"], saved["sensors"], saved["notes"]
        detector.freq_ = Frequency(**saved["freq"])
        detector.location_, detector.scale_ = (np.asarray(saved[name], float) for name in ("location", "scale"))
        detector.limits_ = {name: np.inf if limit is None else limit for name, limit in saved["limits"].items()}
        detector.scorers_ = {name: SCORERS[name](**artifact.arrays(v)) for name, v in saved["scorers"].items()}
        return detector

    def _check_parameters(self) -> None:
        unknown = [name for name in self.scorers if name not in SCORERS]
        if unknown or not len(self.scorers):
            what = f"{unknown[0]!r} is not a known scorer" if unknown else "no scorers are given"
            raise ValueError(f"{what}; choose from {', '.join(map(repr, SCORERS))}.")
        if not 0 < self.calibration < 1:
            raise ValueError(f"calibration is a share of the training rows between 0 and 1, got {self.calibration!r}.")
        for name, least in (("span", 1), ("merge_gap", 0), ("min_rows", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least} row(s), got {getattr(self, name)!r}.")

    def _expected(self, recording: Recording) -> NDArray[np.float64]:
        """The forecast for every row from the grid rows before it, shape (R, C)."""
        panel = _counted(recording.panel)
        ends = np.arange(1, len(panel.times))
        out = np.full_like(panel.values, np.nan)
        if len(ends):
            longer = panel.extend(self.forecaster_.horizon - 1) if self.forecaster_.horizon > 1 else panel
            out[1:] = self.forecaster_.forecast_panel(longer, np.zeros_like(ends), ends)[:, 0, :, 0]
        return out[recording.grid]

    def _discounted(self, recording: Recording, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Residuals, those after a gap made smaller."""
        return np.asarray((recording.values - expected) / np.sqrt(1 + recording.missing_before()))

    def _evidence(self, recording: Recording, expected: NDArray[np.float64]) -> Evidence:
        scale = self.scale_ * np.sqrt(1 + recording.missing_before())
        return Evidence(recording.values, expected, scale, np.full(len(self.scale_), np.inf), np.ones(len(scale)))


def training_rows(n_rows: int, fraction: float = 0.15) -> int:
    """Rows at the start of a table to fit on when the same table is to be scored.

    Parameters
    ----------
    n_rows : int
        Rows of the table.
    fraction : float, default 0.15
        Share to fit on, as in the probationary period of the Numenta benchmark; at least 1,000 rows, or half of a
        shorter table.

    Returns
    -------
    int

    References
    ----------
    A. Lavin and S. Ahmad (2015), Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark.

    Examples
    --------
    >>> training_rows(40_000), training_rows(4_000), training_rows(600)
    (6000, 1000, 300)
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is a share of the rows between 0 and 1, got {fraction!r}.")
    return max(int(fraction * n_rows), min(1000, n_rows // 2))


def _counted(panel: Panel) -> Panel:
    """The panel with its steps counted instead of stamped."""
    return replace(panel, times=np.arange(len(panel.times)), freq=Frequency("integer"), zone=None)


def _in_rows(every: int | str, freq: Frequency) -> float:
    """A number of rows, or a duration in rows."""
    if isinstance(every, str):
        if freq.kind != "fixed":
            raise ValueError(
                f"false_alarm_every={every!r} is a duration, and rows come by freq={freq!s}; give a number of rows."
            )
        rows = pd.Timedelta(every) / pd.Timedelta(freq.step, unit="ns")
    else:
        rows = every
    if rows < 1:
        raise ValueError(f"false_alarm_every must be at least one row, got {every!r}.")
    return float(rows)
