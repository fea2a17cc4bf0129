"""The anomaly detector: rules of quality, a predictor, scorers and alarm lines, each with its carried state."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils.validation import check_is_fitted

from tsrnn.anomaly import artifact
from tsrnn.anomaly.base import AbstractScorer, AbstractThreshold, Evidence, Flag, Judged, Rows, State, Verdict
from tsrnn.anomaly.events import EventRules
from tsrnn.anomaly.rows import choose_sensors, describe
from tsrnn.anomaly.rules import Quality, duration
from tsrnn.anomaly.scorers import SCORERS, one_sided
from tsrnn.anomaly.statistics import highest, joint_score
from tsrnn.anomaly.thresholds import THRESHOLDS, ReturnLevel
from tsrnn.data.validation import DataError
from tsrnn.forecasting.predictor import AbstractPredictor, Expected, Hold, Observed

__all__ = ["AnomalyDetector", "training_rows"]

Floats = NDArray[np.float64]
Side = Literal["both", "upper", "lower"]

_SIDES = {"both": 0, "upper": 1, "lower": -1}
_LEAST_LINE = 1e-9  # where all calibration scores are 0, as of a constant sensor, anything is an alarm
_MIN_CALIBRATION = 30  # rows; scales and an alarm line from fewer are guesswork
_WEEK = 7 * 24 * 3600 * 10**9  # nanoseconds
_WEEK_OF_ROWS = 7 * 24 * 60  # where times are integers
_SEVERITY = "severity"  # the smooth score's key among scorers and thresholds
_FITTED = (
    "columns_",
    "quality_",
    "predictor_",
    "hold_",
    "scorers_",
    "thresholds_",
    "events_",
    "offset_",
    "notes_",
    "week_",
)


class _Prepared(NamedTuple):
    """Rows of training, read and judged."""

    detector: "AnomalyDetector"
    rows: Rows
    flags: NDArray[np.uint16]
    observed: Observed
    known: int


class AnomalyDetector(OutlierMixin, BaseEstimator):
    """Find rows of a sensor table that were not to be expected, from a state that is carried from row to row.

    A row walks through five stages: rules of quality say what is to be believed, a predictor what was to be expected,
    scorers how far that was missed, a threshold for each scorer where the alarm line stands, and rules of events which
    alarms belong together. The predictor learns from the first part of the training rows; scorers and thresholds are
    fitted on the rest, which it has not learned from. Scoring never learns: `step` is a pure function of state and
    rows, and ``score(a)`` and then ``score(b, state)`` is ``score(a + b)``, however a stream is cut.

    Parameters
    ----------
    predictor : AbstractPredictor
        What says which row was to be expected: ``RecurrentPredictor()``, or a simpler one. A clone of it is fitted.
    scorers : sequence of str, default ("mahalanobis", "unrest", "drift", "disagreement")
        Kinds of evidence, see `tsrnn.anomaly.scorers`. A row's score is that of the scorer that is farthest above its
        own alarm line.
    severity : str, default "smooth"
        The scorer behind ``severity``, which says for how long and how far rows have been abnormal; the others raise
        the alarm.
    threshold : str, default "return_level"
        How the alarm lines are drawn, see `tsrnn.anomaly.thresholds`.
    quality : Quality, optional
        Rules for gaps, repeated stamps, stuck values and the like; by default all of them, learned.
    events : EventRules, optional
        Which alarms are one event; by default those of an hour, or of 60 rows.
    side : {"both", "upper", "lower"} or dict, default "both"
        On which side of the expected value a sensor is abnormal; a dictionary says it of some of the sensors.
    span : int, default 60
        Memory of averages, in rows.
    calibration : float, default 0.3
        Share of the training rows, the last ones, that the predictor does not learn from.
    false_alarms_per_week : float, default 1.0
        How many alarms healthy rows may raise, all scorers together. Where times are integers a row counts as a minute.
    hold : str, float, Hold or None, default 1440
        During an alarm the predictor reads its own expectation, so that a fault does not become the new normal; after
        this time (text like ``"6h"``, or typical steps) a new level is accepted. None reads every value; a `Hold` also
        says from how many scales on a value is not read.
    contamination : float, optional
        scikit-learn's: `predict` then calls this share of the training rows outliers, instead of those in alarm.

    Attributes
    ----------
    predictor_ : AbstractPredictor
        The fitted clone.
    quality_ : FittedQuality
        The fitted rules.
    columns_ : Columns
        Names of the columns: stamps, sensors that are judged, inputs that are only read.
    scorers_, thresholds_ : dict
        The fitted scorers and their thresholds by name.
    hold_ : Hold
        When a value is not read.
    offset_ : float
        `decision_function` is `score_samples` less this.
    notes_ : list of str
        What was unusual in the training rows and how it was handled, a sentence each.

    Examples
    --------
    >>> from tsrnn.forecasting.online import Persistence
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"ds": range(1000), "temp": rng.normal(20, 1, 1000)})
    >>> table.loc[700, "temp"] = 35.0
    >>> detector = AnomalyDetector(Persistence()).fit(table[:500])
    >>> detector.detect(table)[["start", "kind", "sensors"]].values.tolist()
    [[700, 'spike', 'temp 100 %']]
    >>> state, first = detector.step(detector.start(), table[:600])
    >>> rest = detector.score(table[600:], state)
    >>> bool((pd.concat([first, rest])["score"] == detector.score(table)["score"])[1:].all())
    True
    """

    def __init__(
        self,
        predictor: AbstractPredictor,
        *,
        scorers: Sequence[str] = ("mahalanobis", "unrest", "drift", "disagreement"),
        severity: str = "smooth",
        threshold: str = "return_level",
        quality: Quality | None = None,
        events: EventRules | None = None,
        side: Side | Mapping[str, Side] = "both",
        span: int = 60,
        calibration: float = 0.3,
        false_alarms_per_week: float = 1.0,
        hold: str | float | Hold | None = 1440.0,
        contamination: float | None = None,
    ) -> None:
        self.predictor = predictor
        self.scorers = scorers
        self.severity = severity
        self.threshold = threshold
        self.quality = quality
        self.events = events
        self.side = side
        self.span = span
        self.calibration = calibration
        self.false_alarms_per_week = false_alarms_per_week
        self.hold = hold
        self.contamination = contamination

    def fit(
        self,
        df: pd.DataFrame,
        y: object = None,
        *,
        time_col: str = "ds",
        sensors: Sequence[str] | None = None,
        inputs: Sequence[str] = (),
    ) -> Self:
        """Learn what is usual.

        Parameters
        ----------
        df : DataFrame
            A time column and a numeric column a sensor, of a time without faults as far as possible. No regular step
            is needed. Empty values, gaps, repeated stamps and steps back in time are handled and noted in ``notes_``.
        y : object
            Not read: labels have no way into a detector.
        time_col : str, default "ds"
            Column with stamps or integers.
        sensors : sequence of str, optional
            Columns to watch; by default all numeric ones that hold a value.
        inputs : sequence of str, default ()
            Columns that are read but not watched, commands for instance.

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
        (fitted,) = self.fit_each([df], time_col=time_col, sensors=sensors, inputs=inputs)
        self.__dict__.update(fitted.__dict__)
        return self

    def fit_each(
        self,
        frames: Sequence[pd.DataFrame],
        *,
        time_col: str = "ds",
        sensors: Sequence[str] | None = None,
        inputs: Sequence[str] = (),
    ) -> "list[AnomalyDetector]":
        """Fit a detector to each of several tables with the same columns, their predictors in one program."""
        self._check_parameters()
        prepared = [clone(self)._prepare(df, time_col, sensors, inputs) for df in frames]
        learned = [one.observed.part(slice(None, one.known)) for one in prepared]
        for one, predictor in zip(prepared, clone(self.predictor).fit_each(learned), strict=True):
            one.detector._calibrate(one, predictor)
        return [one.detector for one in prepared]

    def start(self) -> State:
        """The state before the first row of a stream."""
        check_is_fitted(self, "hold_")
        parts = {
            "quality": self.quality_.start(),
            "predictor": self.predictor_.start(),
            "events": self.events_.start(),
        }
        parts |= {f"scorer.{name}": scorer.start() for name, scorer in self.scorers_.items()}
        parts |= {f"threshold.{name}": threshold.start() for name, threshold in self.thresholds_.items()}
        return _joined(parts)

    def step(self, state: State, df: pd.DataFrame) -> tuple[State, pd.DataFrame]:
        """Score rows that follow those the state comes from; the state that is given stays as it is.

        Parameters
        ----------
        state : dict of arrays
            From `start`, or what the call before gave.
        df : DataFrame
            Rows as they stand in the file, with the columns that `fit` saw.

        Returns
        -------
        state : dict of arrays
        scores : DataFrame
            As of `score`.
        """
        check_is_fitted(self, "hold_")
        rows, stamps = self.columns_.read(df)
        state, judged = self.judge(state, rows)
        return state, self.frame(judged, stamps)

    def judge(self, state: State, rows: Rows) -> tuple[State, Judged]:
        """`step` without frames: what a program that follows a stream calls for each row."""
        check_is_fitted(self, "hold_")
        parts = _parted(state)
        parts["quality"], verdict = self.quality_.step(parts["quality"], rows)
        observed = _observed(rows, verdict)
        parts["predictor"], expected = self.predictor_.step(parts["predictor"], observed, self.hold_)
        evidence = self._evidence(observed, expected)
        joint: dict[str, Floats] = {}
        single: dict[str, Floats] = {}
        p: dict[str, Floats] = {}
        for name, scorer in self.scorers_.items():
            own, line = f"scorer.{name}", f"threshold.{name}"
            parts[own], found = scorer.step(parts[own], evidence)
            score = joint_score(found)
            parts[line], drawn = self.thresholds_[name].step(parts[line], score)
            height = np.maximum(drawn.height, _LEAST_LINE)
            joint[name], p[name] = score / height, drawn.p
            single[name] = np.sqrt(found) / height[:, None]
        smooth = joint.pop(_SEVERITY)
        del single[_SEVERITY], p[_SEVERITY]
        heights = np.stack(list(joint.values()))
        silent = np.isnan(heights).all(axis=0)
        judged = Judged(
            times=rows.times,
            counts=verdict.counts,
            flags=verdict.flags,
            values=rows.values,
            mean=expected.mean,
            scale=expected.scale,
            held=expected.held,
            heights=highest(np.stack(list(single.values()))),
            score=highest(heights),
            p=np.minimum(1.0, len(p) * -highest(-np.stack(list(p.values())))),
            severity=100 * smooth / (1 + smooth),
            lead=np.where(silent, -1, np.nan_to_num(heights, nan=-1.0).argmax(axis=0)),
        )
        return _joined(parts), judged

    def frame(self, judged: Judged, stamps: "pd.Series[Any]", *, values: bool = False) -> pd.DataFrame:
        """What was judged as a table; see `score`. With ``values`` the sensors stand in it too, behind the times."""
        own: dict[str, Any] = {self.columns_.time_col: stamps.array}
        if values:
            own |= dict(zip(self.columns_.sensors, judged.values.T, strict=True))
        found: dict[str, Any] = {}
        parts = zip(self.columns_.sensors, judged.mean.T, judged.scale.T, judged.heights.T, judged.flags.T, strict=True)
        for sensor, mean, scale, height, flags in parts:
            found[f"{sensor}-expected"], found[f"{sensor}-scale"] = mean, scale
            found[f"{sensor}-score"], found[f"{sensor}-flags"] = height, flags
        found |= {"score": judged.score, "p": judged.p, "severity": judged.severity}
        kinds = np.array([*self._kinds(), ""], dtype=object)
        found["kind"] = pd.array(kinds[judged.lead], dtype="str")
        if twice := [name for name in found if name in own]:
            raise DataError(f"scores would have a second column {twice[0]!r}; rename that of the table.")
        return pd.DataFrame(own | found, index=stamps.index)

    def score(self, df: pd.DataFrame, state: State | None = None) -> pd.DataFrame:
        """How abnormal every row is.

        Parameters
        ----------
        df : DataFrame
            Rows as they stand in the file, with the columns that `fit` saw.
        state : dict of arrays, optional
            What `step` gave for the rows before them; by default there are none before them.

        Returns
        -------
        DataFrame
            The rows, order and index of ``df``: the time column; for each sensor ``<sensor>-expected``,
            ``<sensor>-scale`` (of the predictive distribution; both in its units) and ``<sensor>-score``; ``score``,
            in multiples of the alarm line: above 1 is an alarm; ``p``, how often a healthy row scores so high by any
            scorer; ``severity``, 0 to 100 and 50 at the alarm line, of a smooth score; ``kind``, that of the leading
            scorer; and ``flags``, findings of the rules of quality (`tsrnn.anomaly.base.Flag`), with
            ``<sensor>-flags``. Where nothing was to be believed scores are NaN.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        return self.step(self.start() if state is None else state, df)[1]

    def detect(self, df: pd.DataFrame, state: State | None = None) -> pd.DataFrame:
        """Events: stretches of alarms, and findings of the rules of quality.

        Parameters
        ----------
        df : DataFrame
            Rows as they stand in the file, with the columns that `fit` saw.
        state : dict of arrays, optional
            As in `score`.

        Returns
        -------
        DataFrame
            As of `tsrnn.anomaly.events.EventRules`, in time order.
        """
        check_is_fitted(self, "hold_")
        rows, stamps = self.columns_.read(df)
        after, _, closed = self.follow(self.start() if state is None else state, rows)
        return self.stamped([closed, self.open_events(after)], stamps)

    def explain(self, df: pd.DataFrame, n: int = 5) -> pd.DataFrame:
        """Why there is an event or none: the rows nearest to an alarm, and how far from the line they are.

        Parameters
        ----------
        df : DataFrame
            Rows as they stand in the file, with the columns that `fit` saw.
        n : int, default 5
            How many; of rows that would be one event only the highest.

        Returns
        -------
        DataFrame
            As of `tsrnn.anomaly.events.FittedEvents.explain`.
        """
        rows, stamps = self.columns_.read(df)
        found = self.events_.explain(self.judge(self.start(), rows)[1], n)
        return found.assign(time=stamps.iloc[found["row"]].array)

    def follow(self, state: State, rows: Rows) -> tuple[State, Judged, pd.DataFrame]:
        """`judge` rows, and gather the events that end in them; their times are as in ``rows``."""
        after, judged = self.judge(state, rows)
        parts = _parted(after)
        parts["events"], closed = self.events_.step(parts["events"], judged)
        return _joined(parts), judged, closed

    def open_events(self, state: State) -> pd.DataFrame:
        """Events that have begun and not ended in the rows that a state comes from."""
        return self.events_.finish(_parted(state)["events"])

    def overdue(self, state: State, late: int) -> pd.DataFrame:
        """The outage that is open if no row has come for so long, in nanoseconds; a table of one event, or none."""
        now = int(state["quality/time"]) + late
        return self.events_.overdue(_parted(state)["events"], now, self.quality_.gap)

    def stamped(self, found: Sequence[pd.DataFrame], stamps: "pd.Series[Any]") -> pd.DataFrame:
        """Events in time order, with their times as the stamps of a table stand there."""
        events = pd.concat(found, ignore_index=True).sort_values("start", kind="stable", ignore_index=True)
        if not pd.api.types.is_datetime64_any_dtype(stamps):
            return events
        zone = getattr(stamps.dtype, "tz", None)
        times = {name: pd.to_datetime(events[name], utc=zone is not None) for name in ("start", "end", "peak")}
        return events.assign(**{n: t.dt.tz_convert(zone) if zone is not None else t for n, t in times.items()})

    def score_samples(self, df: pd.DataFrame) -> Floats:
        """scikit-learn's sign: minus the score, so that higher is more normal; 0 where nothing was to be believed."""
        return np.asarray(-np.nan_to_num(self.score(df)["score"].to_numpy()))

    def decision_function(self, df: pd.DataFrame) -> Floats:
        """`score_samples` less ``offset_``: below 0 is an outlier."""
        return np.asarray(self.score_samples(df) - self.offset_)

    def predict(self, df: pd.DataFrame) -> NDArray[np.int64]:
        """-1 for an outlier, 1 for any other row."""
        return np.where(self.decision_function(df) < 0, -1, 1)

    def fit_predict(self, df: pd.DataFrame, y: object = None, **columns: Any) -> NDArray[np.int64]:
        """Fit on the rows and say which of them are outliers."""
        return self.fit(df, **columns).predict(df)

    def save(self, path: str | Path, state: State | None = None, **more: Any) -> None:
        """Write the fitted detector, and a state with it, to one file.

        Parameters
        ----------
        path : str or Path
            Of the file; one that is there is replaced, in one move.
        state : dict of arrays, optional
            What `step` gave; by default that before the first row.
        **more
            What else to keep with it; `tsrnn.anomaly.artifact.read` gives it back.
        """
        check_is_fitted(self, "hold_")
        given = self.get_params(deep=False)
        fitted = {name: getattr(self, name) for name in _FITTED}
        state = self.start() if state is None else state
        artifact.write(path, {"parameters": given, "fitted": fitted, "state": state, **more})

    @classmethod
    def load(cls, path: str | Path) -> "tuple[Self, State]":
        """Read a saved detector, whose scores are equal to the bit, and the state that was saved with it.

        Parameters
        ----------
        path : str or Path
            The file.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is something else, or was written by a newer version.
        """
        saved = artifact.read(path)
        detector = cls(**saved["parameters"])
        detector.__dict__.update(saved["fitted"])
        return detector, saved["state"]

    def _check_parameters(self) -> None:
        chosen = [*self.scorers, self.severity]
        for what, names, known in (("scorer", chosen, SCORERS), ("threshold", [self.threshold], THRESHOLDS)):
            unknown = [name for name in names if name not in known]
            if unknown:
                raise ValueError(f"{unknown[0]!r} is not a known {what}; choose from {', '.join(map(repr, known))}.")
        if not self.scorers:
            raise ValueError(f"no scorers are given; choose from {', '.join(map(repr, SCORERS))}.")
        if not 0 < self.calibration < 1:
            raise ValueError(f"calibration is a share of the training rows between 0 and 1, got {self.calibration!r}.")
        if self.span < 1:
            raise ValueError(f"span must be at least 1 row, got {self.span!r}.")
        if not self.false_alarms_per_week > 0:
            raise ValueError(f"false_alarms_per_week must be above 0, got {self.false_alarms_per_week!r}.")
        if self.contamination is not None and not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination is a share above 0 and up to .5, got {self.contamination!r}.")
        for side in [self.side] if isinstance(self.side, str) else self.side.values():
            if side not in _SIDES:
                raise ValueError(f"{side!r} is no side; choose from {', '.join(map(repr, _SIDES))}.")

    def _prepare(
        self, df: pd.DataFrame, time_col: str, sensors: Sequence[str] | None, inputs: Sequence[str]
    ) -> _Prepared:
        """Read the rows of training and judge their quality."""
        self.columns_, notes = choose_sensors(df, time_col, sensors, inputs)
        rows, stamps = self.columns_.read(df)
        held = int(self.calibration * len(rows.times))
        if held < _MIN_CALIBRATION:
            needed = int(np.ceil(_MIN_CALIBRATION / self.calibration))
            raise DataError(
                f"the table has {len(rows.times):,} rows; at least {needed} are needed, {_MIN_CALIBRATION} of them to "
                "calibrate on."
            )
        known = len(rows.times) - held
        stamped = pd.api.types.is_datetime64_any_dtype(stamps)
        if not stamped:
            self._check_durations()
        self.quality_ = (self.quality or Quality()).fit(_first(rows, known), self.columns_.sensors)
        _, verdict = self.quality_.step(self.quality_.start(), rows)
        self.notes_ = [*notes, *describe(df, verdict.flags, self.columns_)]
        self.week_ = _WEEK if stamped else _WEEK_OF_ROWS * self.quality_.interval
        return _Prepared(self, rows, verdict.flags, _observed(rows, verdict), known)

    def _check_durations(self) -> None:
        """Raise where text says how long something is and times are integers."""
        quality, events = self.quality or Quality(), self.events or EventRules()
        stuck = quality.stuck.values() if isinstance(quality.stuck, Mapping) else [quality.stuck]
        given = [("hold", self.hold), ("max_gap", quality.max_gap), *(("stuck", one) for one in stuck)]
        for name, value in [*given, *vars(events).items()]:
            if isinstance(value, str):
                raise ValueError(f"{name}={value!r}: the times of the table are integers; give a number of steps.")

    def _calibrate(self, prepared: _Prepared, predictor: AbstractPredictor) -> None:
        """Fit scorers, thresholds and the limit of holding on rows that the predictor has not learned from."""
        rows, observed = prepared.rows, prepared.observed
        self.predictor_ = predictor
        calibration = np.arange(len(rows.times)) >= prepared.known
        self.events_ = (self.events or EventRules()).fit(
            sensors=self.columns_.sensors,
            kinds=self._kinds(),
            low=self.quality_.low,
            high=self.quality_.high,
            interval=self.quality_.interval,
        )
        settled = calibration & _settled(rows.times, observed.counts, prepared.flags, self.events_.re_entry)
        _, expected = predictor.step(predictor.start(), observed)
        evidence = self._evidence(observed, expected)
        every = self.week_ / self.quality_.interval / self.false_alarms_per_week
        if self.hold is None:
            self.hold_ = Hold()
        elif isinstance(self.hold, Hold):
            self.hold_ = self.hold
        else:
            off = highest(np.abs(evidence.deviations[settled]).T)
            limit = max(4.0, ReturnLevel.fit(off, every, self.span).height)
            steps = duration(self.hold, self.quality_.interval, "hold") / self.quality_.interval
            self.hold_ = Hold(float(limit), steps)
        if self.hold_ != Hold():  # as rows are scored later
            _, expected = predictor.step(predictor.start(), observed, self.hold_)
            evidence = self._evidence(observed, expected)
        self.scorers_: dict[str, AbstractScorer] = {}
        self.thresholds_: dict[str, AbstractThreshold] = {}
        chosen = [(name, name, self.threshold) for name in self.scorers]
        for key, name, threshold in [*chosen, (_SEVERITY, self.severity, "return_level")]:
            scorer = SCORERS[name].fit(evidence, calibration, self.span)
            parts = scorer.step(scorer.start(), evidence)[1][settled]
            scores = joint_score(parts)
            self.scorers_[key] = scorer
            self.thresholds_[key] = THRESHOLDS[threshold].fit(scores, every * len(self.scorers), self.span)
            mute = np.array(self.columns_.sensors)[np.isnan(parts).all(axis=0)]
            if len(mute) and key != _SEVERITY:
                self.notes_.append(f"The scorer {name!r} says nothing about {', '.join(mute)}.")
        self.offset_ = -1.0
        if self.contamination is not None:
            _, judged = self.judge(self.start(), rows)
            self.offset_ = float(np.quantile(-np.nan_to_num(judged.score), self.contamination))

    def _evidence(self, observed: Observed, expected: Expected) -> Evidence:
        values = np.where(observed.counts[:, None], observed.values, np.nan)
        evidence = Evidence(values, expected.mean, expected.scale, self.predictor_.df_, observed.elapsed)
        if self.side == "both":
            return evidence
        of = dict.fromkeys(self.columns_.sensors, self.side) if isinstance(self.side, str) else self.side
        return one_sided(evidence, [_SIDES[of.get(sensor, "both")] for sensor in self.columns_.sensors])

    def _kinds(self) -> list[str]:
        return [SCORERS[name].kind for name in self.scorers]


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


def _observed(rows: Rows, verdict: Verdict) -> Observed:
    """What the predictor reads of rows."""
    return Observed(np.where(verdict.usable, rows.values, np.nan), rows.inputs, verdict.elapsed, verdict.counts)


def _settled(
    times: NDArray[np.int64], counts: NDArray[np.bool_], flags: NDArray[np.uint16], re_entry: int
) -> NDArray[np.bool_]:
    """Which rows do not come shortly after an outage; of those that do alarms do not count."""
    outage = ((flags[:, 0] & Flag.GAP) > 0) | ((flags & Flag.MISSING) > 0).all(axis=1)
    now = np.maximum.accumulate(np.where(counts, times, times[0]))
    return np.asarray(now > np.maximum.accumulate(np.where(outage, now, now[0] - re_entry - 1)) + re_entry)


def _first(rows: Rows, n: int) -> Rows:
    return Rows(rows.times[:n], rows.values[:n], rows.inputs[:n])


def _joined(parts: dict[str, State]) -> State:
    """States of the stages in one flat dictionary."""
    return {f"{stage}/{name}": array for stage, state in parts.items() for name, array in state.items()}


def _parted(state: State) -> dict[str, State]:
    """The dictionary of `_joined` by stages; empty for a stage that carries nothing."""
    parts: dict[str, State] = defaultdict(dict)
    for key, array in state.items():
        stage, _, name = key.partition("/")
        parts[stage][name] = array
    return parts
