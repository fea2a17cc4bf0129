"""What the columns of a frame mean, and by which rules it is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

__all__ = ["Roles", "Schema"]

Gaps = Literal["mask", "error", "ffill", "interpolate"]
Duplicates = Literal["error", "last", "mean"]
Resample = Literal["mean", "sum", "median", "min", "max", "first", "last"]
Channels = Literal["joint", "independent"]


class Roles(TypedDict, total=False):
    """The keywords of every method that takes a frame; see `Schema` for their meaning and defaults."""

    id_col: str
    time_col: str
    target_col: str | Sequence[str]
    past_covariates: Sequence[str]
    future_covariates: Sequence[str]
    static_covariates: Sequence[str]
    categorical: Sequence[str]
    gaps: Gaps
    duplicates: Duplicates
    resample: Resample | None
    holidays: str | None
    channels: Channels


@dataclass(frozen=True)
class Schema:
    """The roles of a frame's columns.

    Parameters
    ----------
    id_col, time_col : str
        Columns with the series' name and the time stamp, defaults ``"unique_id"`` and ``"ds"``.
    target_col : str or sequence of str, default "y"
        What to forecast; of several columns, see ``channels``.
    past_covariates, future_covariates : sequence of str, or a single one
        Columns known up to the cutoff, and also ahead of it: numbers, booleans, or categories.
    static_covariates : sequence of str, or a single one
        Columns with one value for each series: numbers, booleans, or categories.
    categorical : sequence of str, or a single one
        Covariates to be read as categories although they hold numbers. Text and columns of dtype ``category`` are
        categories without being named here.
    gaps : {"mask", "error", "ffill", "interpolate"}, default "mask"
        What a model is shown where stamps of the grid or values of the target or of numeric past covariates are
        missing: that nothing is there; the last value; a line between the two values around the gap. A gap is filled
        only for a model that knows both of its ends: at a cutoff inside a gap, its rows are masked. Filled values are
        history to read, never something to forecast or to be judged by. ``"error"`` refuses missing stamps.
    duplicates : {"error", "last", "mean"}, default "error"
        What to make of several rows of a series with one stamp: nothing; of each column the last value that is there;
        the mean of numbers and the last category.
    resample : {"mean", "sum", "median", "min", "max", "first", "last"}, optional
        How the rows within one step become one, for irregular samples: numbers by this rule, categories by the last.
        Needs ``freq``. A row belongs to the step that began last, and is stamped with its beginning; steps count from
        midnight, Monday (weeks), January (months, quarters), or 0 (integers), and have ended when they are known.
    holidays : str, optional
        A country of the ``holidays`` library, as ``"DE"``, or a part of one, as ``"AU-VIC"``: whether a day is a public
        holiday there is an input known ahead, computed from the stamps as on the wall clock.
    channels : {"joint", "independent"}, default "joint"
        Whether several target columns are channels of one network, or each a series of its own, named as in
        `tsrnn.data.Panel.labels`, with the same covariates.
    """

    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str | Sequence[str] = "y"
    past_covariates: Sequence[str] = ()
    future_covariates: Sequence[str] = ()
    static_covariates: Sequence[str] = ()
    categorical: Sequence[str] = ()
    gaps: Gaps = "mask"
    duplicates: Duplicates = "error"
    resample: Resample | None = None
    holidays: str | None = None
    channels: Channels = "joint"

    def __post_init__(self) -> None:
        """Store sequences as tuples, so that a schema can be compared and hashed; refuse unknown rules."""
        if not isinstance(self.target_col, str):
            object.__setattr__(self, "target_col", tuple(self.target_col))
        for name in ("past_covariates", "future_covariates", "static_covariates", "categorical"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        for name, known in (("gaps", Gaps), ("duplicates", Duplicates), ("resample", Resample), ("channels", Channels)):
            rule = getattr(self, name)
            if rule not in get_args(known) and not (name == "resample" and rule is None):
                raise ValueError(f"{name}={rule!r} is not known; choose from {', '.join(map(repr, get_args(known)))}.")

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns as a tuple."""
        return (self.target_col,) if isinstance(self.target_col, str) else tuple(self.target_col)

    @property
    def covariates(self) -> tuple[str, ...]:
        """Past covariates, then future covariates: the columns of `tsrnn.data.Panel.covariates`."""
        return (*self.past_covariates, *self.future_covariates)
