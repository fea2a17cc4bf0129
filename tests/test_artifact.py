import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

import tsrnn
from tests.strategies import frame_of, gap_free, grid, long_frames
from tsrnn.data import Panel, Schema
from tsrnn.forecasting import artifact
from tsrnn.forecasting.artifact import Artifact
from tsrnn.forecasting.baselines import Drift, HistoricAverage, Naive, Naive2, SeasonalNaive
from tsrnn.transforms import StandardScaler

SPEC = {"type": "Naive", "horizon": 2}


def there_and_back(panel, folder, **arrays):
    artifact.write(folder, Artifact(SPEC, {"best_step": 3, "loss": 0.1}, arrays, panel))
    return artifact.read(folder)


def assert_same_panel(one, other):
    for field in dataclasses.fields(Panel):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        else:
            assert a == b, field.name
    assert list(map(type, one.ids)) == list(map(type, other.ids))


class TestPanels:
    @settings(max_examples=25)
    @given(drawn=long_frames())
    def test_come_back_to_the_bit(self, tmp_path_factory, drawn):
        panel = Panel.from_frame(drawn.df, freq=drawn.freq)
        assert_same_panel(there_and_back(panel, tmp_path_factory.mktemp("saved")).history, panel)

    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    @pytest.mark.parametrize(
        ("zone", "freq"), [(None, "h"), ("Europe/Berlin", "h"), ("Europe/Berlin", "D"), ("+02:00", "ME")]
    )
    def test_unit_and_zone(self, tmp_path, unit, zone, freq):
        stamps = pd.date_range("2024-03-30", periods=9, freq=freq, tz=zone).as_unit(unit)
        panel = Panel.from_frame(frame_of({"a": (stamps, 1.0)}))
        history = there_and_back(panel, tmp_path / "saved").history
        assert_same_panel(history, panel)
        assert history.stamps(history.times).tolist() == stamps.tolist()

    @pytest.mark.parametrize("names", [[3, 1], [2.5, 0.1], ["ä", "1"], ["1", 1], [True, False]])
    def test_names(self, tmp_path, names):
        panel = Panel.from_frame(frame_of({name: (grid("D", 3), 1.0) for name in names}))
        assert_same_panel(there_and_back(panel, tmp_path / "saved").history, panel)

    def test_names_that_json_does_not_know(self, tmp_path):
        day = pd.Timestamp("2024-01-01")
        panel = Panel.from_frame(pd.DataFrame({"unique_id": [day] * 2, "ds": [1, 2], "y": 1.0}))
        with pytest.raises(TypeError, match="Timestamp"):
            there_and_back(panel, tmp_path / "saved")
        assert not list(tmp_path.iterdir())

    def test_roles_and_channels(self, tmp_path):
        schema = Schema("shop", "day", ("y", "y1"), ("temp",), ("price", "holiday"))
        df = gap_free(lengths=(5, 3), n_channels=2).rename(columns={"unique_id": "shop", "ds": "day"})
        panel = Panel.from_frame(df.assign(temp=np.nan, price=range(8), holiday=0), schema)
        assert_same_panel(there_and_back(panel, tmp_path / "saved").history, panel)

    def test_arrays_keep_shape_type_and_order(self, tmp_path):
        arrays = {
            "params/scalar": np.float32(0.1) * np.ones(()),
            "params/kernel": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
            "params/view": np.arange(10)[::-2],
            "empty": np.zeros((0, 4)),
            "mask": np.array([True, False]),
        }
        saved = there_and_back(Panel.from_frame(gap_free()), tmp_path / "saved", **arrays)
        assert saved.arrays.keys() == arrays.keys()
        for name, array in arrays.items():
            assert (saved.arrays[name].dtype, saved.arrays[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(saved.arrays[name], array)
        assert (saved.spec, saved.values) == (SPEC, {"best_step": 3, "loss": 0.1})


class TestModels:
    @pytest.mark.parametrize("freq", ["h", "B", "ME", 3])
    @pytest.mark.parametrize(
        "model",
        [Naive(horizon=3), Naive2(horizon=2), SeasonalNaive(horizon=3, season_length=4), SeasonalNaive(horizon=2),
         Drift(horizon=3), HistoricAverage(horizon=np.int64(3))],
        ids=lambda model: type(model).__name__,
    )  # fmt: skip
    def test_predict_the_same_bits(self, tmp_path, model, freq):
        df = gap_free(freq, (30, 25)).assign(unique_id=lambda d: d["unique_id"].map({"a": 7, "b": 3}))
        model.fit(df.drop(4), freq=freq).save(tmp_path / "saved")
        loaded = tsrnn.load(tmp_path / "saved")
        assert type(loaded) is type(model)
        assert loaded.get_params() == model.get_params()
        pd.testing.assert_frame_equal(loaded.predict(level=[50]), model.predict(level=[50]), check_exact=True)
        pd.testing.assert_frame_equal(loaded.predict(df), model.predict(df), check_exact=True)

    def test_in_a_time_zone(self, tmp_path):
        stamps = pd.date_range("2024-03-28", periods=6, tz="Europe/Berlin")
        model = Naive(horizon=3).fit(frame_of({"a": (stamps, np.arange(6.0))}))
        model.save(tmp_path / "saved")
        pd.testing.assert_frame_equal(tsrnn.load(tmp_path / "saved").predict(), model.predict(), check_exact=True)

    def test_save_again_replaces(self, tmp_path):
        for horizon in (2, 5):
            Naive(horizon=horizon).fit(gap_free()).save(tmp_path / "deep" / "saved")
        assert len(tsrnn.load(tmp_path / "deep" / "saved").predict()) == 5
        assert sorted(file.name for file in tmp_path.rglob("*")) == [
            "arrays.safetensors",
            "deep",
            "model.json",
            "saved",
        ]


class TestFolders:
    @pytest.fixture
    def model(self):
        return Naive(horizon=2).fit(gap_free())

    @pytest.mark.parametrize(
        "others", [["notes.txt"], ["model.json", "arrays.safetensors", "notes.txt"], ["model.json", "run.csv"]]
    )
    def test_with_anything_else_in_it_is_left_alone(self, tmp_path, model, others):
        for name in others:
            (tmp_path / name).write_text("mine")
        with pytest.raises(FileExistsError, match="choose another path"):
            model.save(tmp_path)
        assert {file.name: file.read_text() for file in tmp_path.iterdir()} == dict.fromkeys(others, "mine")

    def test_a_file_is_left_alone(self, tmp_path, model):
        (tmp_path / "saved").write_text("mine")
        with pytest.raises(FileExistsError):
            model.save(tmp_path / "saved")
        assert (tmp_path / "saved").read_text() == "mine"

    def test_an_empty_one_will_do(self, tmp_path, model):
        (tmp_path / "saved").mkdir()
        model.save(tmp_path / "saved")
        assert tsrnn.load(str(tmp_path / "saved")).horizon == 2

    def test_without_a_model(self, tmp_path, model):
        with pytest.raises(FileNotFoundError, match=r"no saved model at .*model\.json"):
            tsrnn.load(tmp_path)
        model.save(tmp_path / "saved")
        (tmp_path / "saved" / "arrays.safetensors").unlink()
        with pytest.raises(FileNotFoundError, match=r"arrays\.safetensors"):
            tsrnn.load(tmp_path / "saved")

    @pytest.mark.parametrize(("step", "way_out"), [(1, "Install a newer"), (-1, "save the model again")])
    def test_of_another_format(self, tmp_path, model, step, way_out):
        model.save(tmp_path / "saved")
        document = json.loads((tmp_path / "saved" / "model.json").read_text())
        document |= {"format": artifact.FORMAT + step, "tsrnn": "9.9"}
        (tmp_path / "saved" / "model.json").write_text(json.dumps(document))
        with pytest.raises(ValueError, match=rf"tsrnn 9\.9 in format {artifact.FORMAT + step}.*{way_out}"):
            tsrnn.load(tmp_path / "saved")

    @pytest.mark.parametrize("text", ['{"model_type": "other"}', "[1, 2]"])
    def test_of_another_tool(self, tmp_path, model, text):
        model.save(tmp_path / "saved")
        (tmp_path / "saved" / "model.json").write_text(text)
        with pytest.raises(ValueError, match="not written by tsrnn"):
            tsrnn.load(tmp_path / "saved")

    def test_holds_no_code(self, tmp_path, model):
        model.save(tmp_path / "saved")
        assert sorted(file.name for file in (tmp_path / "saved").iterdir()) == ["arrays.safetensors", "model.json"]
        assert json.loads((tmp_path / "saved" / "model.json").read_text())["model"] == {"type": "Naive", "horizon": 2}


class TestEncode:
    def test_parts_by_their_type(self):
        assert artifact.encode(StandardScaler()) == {"type": "StandardScaler", "per": "series"}
        assert artifact.encode((1, 2.5, None, "a", np.int64(3), [np.float64(0.5)])) == [1, 2.5, None, "a", 3, [0.5]]

    @pytest.mark.parametrize("value", [{1}, np.zeros(2), print, StandardScaler])
    def test_what_is_not_plain_is_refused(self, value):
        with pytest.raises(TypeError, match="cannot be written to JSON"):
            artifact.encode(value)
