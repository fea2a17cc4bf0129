"""Covariates of a frame: numbers, booleans, categories; constant ones."""

import numpy as np
import pandas as pd
import pytest

from tests.strategies import gap_free
from tsrnn.data import DataError, Panel, Schema


def weathered():
    df = gap_free(lengths=(3, 2))
    return df.assign(
        sky=["clear", "rain", None, "rain", "clear"],
        open=[True, False, True, True, False],
        region=list("NNNSS"),
        size=[4, 4, 4, 7, 7],
    )


def read(df, **roles):
    return Panel.from_frame(df, Schema(**roles))


def test_categories_are_codes_and_come_back():
    df = weathered()
    panel = read(df, past_covariates=["sky"], future_covariates=["open"], static_covariates=["region", "size"])
    assert panel.levels == {"sky": ("clear", "rain"), "region": ("N", "S")}
    np.testing.assert_array_equal(panel.covariates, np.c_[[0, 1, np.nan, 1, 0], [1, 0, 1, 1, 0]])
    np.testing.assert_array_equal(panel.static, [[0, 4], [1, 7]])
    back = panel.to_frame()
    assert back["sky"].tolist()[:2] == ["clear", "rain"]
    assert back["region"].tolist() == df["region"].tolist()


def test_numbers_are_categories_on_request():
    df = weathered()
    assert read(df, past_covariates=["size"]).levels == {}
    assert read(df, past_covariates=["size"], categorical=["size"]).levels == {"size": (4, 7)}
    assert read(df.astype({"size": "category"}), past_covariates=["size"]).levels == {"size": (4, 7)}


def test_text_among_numbers_is_no_category():
    df = weathered().assign(x=["1", "2", "off", "3", "4"])
    with pytest.raises(DataError, match="row 2 of series 'a', column 'x': 'off' is not a number"):
        read(df, past_covariates=["x"])


def test_a_static_covariate_does_not_change():
    df = weathered().assign(region=["N", "N", "S", "S", "S"])
    want = "series 'a': the static covariate 'region' changes from 'N' at row 0 to 'S' at row 2"
    with pytest.raises(DataError, match=want):
        read(df, static_covariates="region")


def test_what_is_known_ahead_may_hold_new_categories():
    panel = read(weathered(), future_covariates=["sky"])
    stamps = panel.times[panel.indptr[1:] - 1] + np.timedelta64(1, "D")
    future = pd.DataFrame({"unique_id": ["a", "b"], "ds": stamps, "sky": ["hail", "clear"]})
    longer = panel.extend(1, future)
    assert longer.levels == {"sky": ("clear", "rain", "hail")}
    assert longer.covariates[longer.indptr[1:] - 1, 0].tolist() == [2, 0]
