"""What the columns of a frame mean, and by which rules it is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

__all__ = ["Roles", "Schema"]


class Roles(TypedDict, total=False):
    """The keywords of every method that takes a frame; see `Schema` for their meaning and defaults."""

    id_col: str
    time_col: str
    target_col: str | Sequence[str]
    past_covariates: Sequence[str]
    future_covariates: Sequence[str]
    static_covariates: Sequence[str]
    categorical: Sequence[str]


@dataclass(frozen=True)
class Schema:
    """The roles of a frame's columns.

    Parameters
    ----------
    id_col, time_col : str
        Columns with the series' name and the time stamp, defaults ``"unique_id"`` and ``"ds"``.
    target_col : str or sequence of str, default "y"
        What to forecast. Several columns are learned jointly, as channels of one network.
    past_covariates, future_covariates : sequence of str, or a single one
        Columns known up to the cutoff, and also ahead of it: numbers, booleans, or categories.
    static_covariates : sequence of str, or a single one
        Columns with one value for each series: numbers, booleans, or categories.
    categorical : sequence of str, or a single one
        Covariates to be read as categories although they hold numbers. Text and columns of dtype ``category`` are
        categories without being named here.
    """

    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str | Sequence[str] = "y"
    past_covariates: Sequence[str] = ()
    future_covariates: Sequence[str] = ()
    static_covariates: Sequence[str] = ()
    categorical: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Store sequences as tuples, so that a schema can be compared and hashed."""
        if not isinstance(self.target_col, str):
            object.__setattr__(self, "target_col", tuple(self.target_col))
        for name in ("past_covariates", "future_covariates", "static_covariates", "categorical"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns as a tuple."""
        return (self.target_col,) if isinstance(self.target_col, str) else tuple(self.target_col)

    @property
    def covariates(self) -> tuple[str, ...]:
        """Past covariates, then future covariates: the columns of `tsrnn.data.Panel.covariates`."""
        return (*self.past_covariates, *self.future_covariates)
