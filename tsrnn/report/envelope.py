"""What a picture of many rows needs: the lowest and the highest value of each stretch, in bounded memory."""

import numpy as np
import pandas as pd

__all__ = ["Envelope"]


class Envelope:
    """Gathers rows, and of too many the extremes of neighbouring ones: lines drawn through them look the same.

    Each stretch of rows becomes two, with the least and the greatest value of every column, at the stretch's first and
    last time. Text is that of the last row.

    Parameters
    ----------
    time_col : str
        Column with the times.
    limit : int, default 50000
        Rows of a table that are kept as they are; of more, half so many to so many.

    Examples
    --------
    >>> envelope = Envelope("ds", limit=4)
    >>> envelope.add(pd.DataFrame({"ds": range(8), "y": [0, 5, 1, 0, 0, 2, -3, 0]}))
    >>> envelope.rows()["y"].tolist()
    [0, 5, -3, 2]
    """

    def __init__(self, time_col: str, limit: int = 50_000) -> None:
        self.time_col = time_col
        self.limit = limit
        self._parts: list[pd.DataFrame] = []

    def add(self, rows: pd.DataFrame) -> None:
        """Rows that follow those before."""
        self._parts.append(rows)
        if sum(map(len, self._parts)) > 2 * self.limit:
            self._parts = [self.rows()]

    def rows(self) -> pd.DataFrame:
        """What is to be drawn, in the order of the rows."""
        whole = pd.concat(self._parts, ignore_index=True)
        if len(whole) <= self.limit:
            return whole
        stretch = np.arange(len(whole)) // -(-2 * len(whole) // self.limit)
        numbers = whole.select_dtypes("number").columns.drop(self.time_col, errors="ignore")
        grouped = whole.groupby(stretch)
        low, high = grouped.last(), grouped.last()
        low[numbers], high[numbers] = grouped[list(numbers)].min(), grouped[list(numbers)].max()
        low[self.time_col], high[self.time_col] = grouped[self.time_col].first(), grouped[self.time_col].last()
        pairs = pd.concat([low, high]).sort_index(kind="stable", ignore_index=True)
        return pairs[whole.columns]
