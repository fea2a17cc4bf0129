"""tsrnn anomaly: models and states that go on from file to file and through a crash, whatever the chunks."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tsrnn.anomaly import AnomalyDetector
from tsrnn.cli import app
from tsrnn.config import ConfigError, DetectConfig
from tsrnn.data import DataError, read_table
from tsrnn.report.envelope import Envelope
from tsrnn.runs import fit_model, run_score
from tsrnn.runs import watch as watching
from tsrnn.runs.judge import judge
from tsrnn.runs.watch import watch

pytestmark = pytest.mark.usefixtures("environment")

CONFIG = DetectConfig.load(None, ["data.time_col=when", "predictor=Persistence", "detector.scorers=[mahalanobis]"])


def sensors(n=900):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=n, freq="min")})
    table["temp"], table["flow"] = rng.normal(20, 1, n).round(3), rng.normal(5, 0.2, n).round(3)
    table.loc[600, "temp"] = 60.0
    table.loc[750:780, "flow"] = 5.0
    return table.drop(range(700, 705))


def csv(table):
    return table.to_csv(index=False, date_format="%d.%m.%Y %H:%M", sep=";", decimal=",")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table in a file, its first rows and its others in two more, and a detector fitted on the first."""
    folder = tmp_path_factory.mktemp("anomaly")
    table = sensors()
    for name, part in (("all", table), ("a", table[:400]), ("b", table[400:])):
        (folder / f"{name}.csv").write_text(csv(part))
    config = DetectConfig.load(
        None, ["data.time_col=when", "data.decimal=','", "predictor=Persistence", "detector.scorers=[mahalanobis]"]
    )
    fit_model(folder / "a.csv", config, folder / "m.tsrnn")
    return folder


@pytest.fixture(scope="module")
def wanted(folder):
    """Lines that a watch of the second part tells: rows, and the events that end in them."""
    detector, state = AnomalyDetector.load(folder / "m.tsrnn")
    table = read_table(folder / "b.csv", time_col="when", decimal=",", time_format="%d.%m.%Y %H:%M")
    rows, stamps = detector.columns_.read(table)
    _, judged, closed = detector.follow(state, rows)
    return detector.frame(judged, stamps), closed


def told(path):
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    rows = pd.DataFrame([line for line in lines if "event" not in line])
    return rows.assign(when=pd.to_datetime(rows["when"])), [line["event"] for line in lines if "event" in line]


def check(path, wanted):
    rows, events = told(path)
    scores, closed = wanted
    assert rows["when"].tolist() == scores["when"].tolist()
    np.testing.assert_allclose(rows["score"].astype(float), scores["score"], rtol=1e-8, atol=1e-9)
    assert [event["kind"] for event in events] == closed["kind"].tolist()
    assert [event["id"] for event in events] == closed["id"].tolist()


def test_scores_of_a_file_are_those_of_its_frame_in_chunks_of_any_size(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tsrnn.data.stream._BLOCK", 1000)
    out = run_score(folder / "all.csv", folder / "m.tsrnn", tmp_path / "out")
    detector, _ = AnomalyDetector.load(folder / "m.tsrnn")
    table = read_table(folder / "all.csv", time_col="when", decimal=",", time_format="%d.%m.%Y %H:%M")
    scores = pd.read_csv(out / "scores.csv", parse_dates=["when"])
    assert scores["when"].tolist() == sensors()["when"].tolist()
    np.testing.assert_array_equal(scores["score"], detector.score(table)["score"])
    np.testing.assert_array_equal(scores[["temp", "flow"]], sensors()[["temp", "flow"]])
    events = pd.read_csv(out / "events.csv")
    assert events["kind"].tolist() == detector.detect(table)["kind"].tolist()
    assert {"gap", "stuck"} < set(events["kind"])
    assert [event["kind"] for event in json.loads((out / "events.json").read_text())] == events["kind"].tolist()
    assert "Gaps in time: 1, the first ends at line 702 of all.csv" in (out / "summary.txt").read_text()
    origin = json.loads((out / "provenance.json").read_text())
    assert origin["data"]["rows"] == 895


def test_a_state_goes_on_from_file_to_file(folder, tmp_path):
    table, model, state = sensors(), folder / "m.tsrnn", tmp_path / "s.state"
    parts = []
    for i, rows in enumerate((table[400:650], table[650:702], table[702:])):
        (tmp_path / f"{i}.csv").write_text(csv(rows))
        out = run_score(tmp_path / f"{i}.csv", model, tmp_path / f"out{i}", state=state)
        parts.append(pd.read_csv(out / "scores.csv"))
    at_once = run_score(folder / "b.csv", model, tmp_path / "whole", state=tmp_path / "new.state")
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), pd.read_csv(at_once / "scores.csv"))
    fit_model(folder / "b.csv", CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"decimal": ","})}),
              tmp_path / "other.tsrnn")  # fmt: skip
    with pytest.raises(ConfigError, match="was not made by the model in"):
        run_score(folder / "b.csv", tmp_path / "other.tsrnn", tmp_path / "no", state=state)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", ["_write", "scored", "save"])
def test_after_a_crash_each_row_is_told_once(folder, tmp_path, monkeypatch, wanted, when):
    """The process ends before lines are written, or after that and before the state is."""
    log, out, state = tmp_path / "log.csv", tmp_path / "told.jsonl", tmp_path / "s.state"
    text, calls = (folder / "b.csv").read_text(), [0]
    log.write_text(text)
    owner = watching.Carried if when == "save" else watching
    real = getattr(owner, when)

    def mortal(*args, **kwargs):
        calls[0] += 1
        if calls[0] % 3 == 0:
            raise Killed
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, when, mortal)
    monkeypatch.setattr(watching.time, "sleep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    for _ in range(20):
        try:
            watch(log, folder / "m.tsrnn", state, out=out, every=70)
            break
        except Killed:
            continue
    check(out, wanted)


def test_lines_that_a_state_does_not_know_of_are_kept(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(watching.time, "sleep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    told, other, state = tmp_path / "told.jsonl", tmp_path / "other.jsonl", tmp_path / "s.state"
    for path in (told, other):
        path.write_text("{}\n")
        with pytest.raises(ConfigError, match=r"holds lines that the state does not know of"):
            watch(folder / "b.csv", folder / "m.tsrnn", state, out=path)
        told.unlink(missing_ok=True)
        watch(folder / "b.csv", folder / "m.tsrnn", state, out=told)
    assert other.read_text() == "{}\n"


@pytest.mark.parametrize("first", ["_write", "scored"])
def test_a_crash_in_the_first_batch_leaves_nothing_behind(folder, tmp_path, monkeypatch, wanted, first):
    real, calls = getattr(watching, first), [0]

    def mortal(*args, **kwargs):
        calls[0] += 1
        found = real(*args, **kwargs)
        if calls[0] == 1:
            raise Killed
        return found

    monkeypatch.setattr(watching, first, mortal)
    monkeypatch.setattr(watching.time, "sleep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    arguments = folder / "b.csv", folder / "m.tsrnn", tmp_path / "s.state"
    with pytest.raises(Killed):
        watch(*arguments, out=tmp_path / "told.jsonl")
    watch(*arguments, out=tmp_path / "told.jsonl")
    check(tmp_path / "told.jsonl", wanted)


def test_standard_input_is_told_line_by_line(folder, tmp_path, wanted):
    stream = io.BufferedReader(io.BytesIO((folder / "b.csv").read_bytes()))
    watch(stream, folder / "m.tsrnn", tmp_path / "s.state", out=tmp_path / "told.jsonl", every=100)
    check(tmp_path / "told.jsonl", wanted)


def test_a_watch_of_the_file_of_training_goes_on_behind_it(folder, tmp_path, monkeypatch, wanted):
    (tmp_path / "all.csv").write_text((folder / "all.csv").read_text())
    monkeypatch.setattr(watching.time, "sleep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    watch(tmp_path / "all.csv", folder / "m.tsrnn", tmp_path / "s.state", out=tmp_path / "told.jsonl")
    check(tmp_path / "told.jsonl", wanted)


def test_rows_that_do_not_come_are_told_of_once(folder, tmp_path, monkeypatch):
    now, rests = [0], []

    def rest(seconds):
        rests.append(seconds)
        now[0] += 40 * 10**9
        if len(rests) == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(watching.time, "sleep", rest)
    monkeypatch.setattr(watching.time, "monotonic_ns", lambda: now[0])
    (tmp_path / "log.csv").write_text(csv(sensors()[400:420]))
    watch(tmp_path / "log.csv", folder / "m.tsrnn", tmp_path / "s.state", out=tmp_path / "told.jsonl")
    rows, events = told(tmp_path / "told.jsonl")
    assert len(rows) == 20
    assert [(event["kind"], event["start"][:16]) for event in events] == [("gap", "2024-01-01T07:00")]


@pytest.mark.slow
def test_a_watch_that_is_killed_again_and_again_loses_and_repeats_no_row(folder, tmp_path, wanted):
    log, out, state = tmp_path / "log.csv", tmp_path / "told.jsonl", tmp_path / "s.state"
    command = [sys.executable, "-c", "from tsrnn.cli import main; main()", "anomaly", "watch", log, "-m",
               folder / "m.tsrnn", "--state", state, "-o", out, "--every", "3", "--poll", "0.01"]  # fmt: skip
    data = (folder / "b.csv").read_bytes()
    rng, written = np.random.default_rng(0), 0
    log.touch()
    for run in range(6):
        process = subprocess.Popen(list(map(str, command)))
        seen = out.stat().st_size if out.exists() else 0
        while written < len(data) and (not out.exists() or out.stat().st_size <= seen + 2000 * rng.random()):
            with log.open("ab") as file:
                file.write(data[written : written + 37])
            written += 37
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL if run < 5 else 0)
        if run < 5:
            process.wait()
    with log.open("ab") as file:
        file.write(data[written:])
    last, _ = wanted
    while not state.exists() or out.read_text().count('"when"') < len(last):
        time.sleep(0.1)
    process.terminate()
    assert process.wait() == 0
    check(out, wanted)


def test_commands(folder, tmp_path):
    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    model, out = tmp_path / "m.tsrnn", tmp_path / "out"
    reading = "--time-col", "when", "--decimal", ",", "--delimiter", ";"
    fitted = run("anomaly", "fit", folder / "a.csv", "-o", model, *reading, "--set", "predictor=Persistence",
                 "--sensor", "temp", "--input", "flow")  # fmt: skip
    assert (fitted.exit_code, fitted.stdout) == (0, f"{model}\n"), fitted.stderr
    detector, _ = AnomalyDetector.load(model)
    assert [*detector.columns_.sensors, *detector.columns_.inputs] == ["temp", "flow"]
    scored = run("anomaly", "score", folder / "b.csv", "-m", model, "-o", out, "--fail-on-events")
    assert scored.exit_code == 3, scored.stderr
    assert scored.stdout.splitlines()[-1] == str(out)
    calm = run("detect", folder / "a.csv", "-m", model, "--out", tmp_path / "calm")
    assert calm.exit_code == 0, calm.stderr
    labels = tmp_path / "labels.csv"
    labels.write_text("start,end\n2024-01-01 09:55,2024-01-01 10:05\n")
    found = run("anomaly", "eval", out, labels, "-o", tmp_path / "table.csv")
    assert found.exit_code == 0, found.stderr
    table = pd.read_csv(tmp_path / "table.csv", index_col="metric")
    assert list(table) == ["detector", "naive", "random"]
    assert table.loc["event_recall", "detector"] == 1
    absent = run("anomaly", "score", folder / "b.csv", "-m", tmp_path / "no.tsrnn")
    assert absent.exit_code == 2
    assert "no saved detector" in absent.stderr
    both = run("detect", folder / "a.csv", "-m", model, "--set", "seed=1")
    assert "give one of them" in both.stderr


def test_labels_of_every_kind_are_the_same(folder, tmp_path):
    out = run_score(folder / "b.csv", folder / "m.tsrnn", tmp_path / "out")
    pair = ["2024-01-01 09:55:00", "2024-01-01 10:05:00"]
    inside = sensors()["when"][400:].between(*pair)
    (tmp_path / "w.csv").write_text("start,end\n" + ",".join(pair))
    (tmp_path / "w.json").write_text(json.dumps([pair]))
    (tmp_path / "many.json").write_text(json.dumps({"x": [], "y": [pair]}))
    pd.DataFrame({"label": inside.astype(int)}).to_csv(tmp_path / "rows.csv", index=False)
    tables = [judge(out, tmp_path / name) for name in ("w.csv", "w.json", "rows.csv")]
    tables.append(judge(out / "scores.csv", tmp_path / "many.json", series="y"))
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])
    with pytest.raises(DataError, match="labels of 2 series; name one"):
        judge(out, tmp_path / "many.json")
    with pytest.raises(DataError, match="no labels of 'z'; it has those of 'x', 'y'"):
        judge(out, tmp_path / "many.json", series="z")
    (tmp_path / "rows.csv").write_text("label\n1\n")
    with pytest.raises(DataError, match="has 1 rows and the scores 495"):
        judge(out, tmp_path / "rows.csv")


def test_an_envelope_has_the_extremes_and_its_size():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"ds": range(9000), "y": rng.normal(size=9000), "kind": "spike"})
    table.loc[4567, "y"], table.loc[100:200, "y"] = 50.0, np.nan
    envelope = Envelope("ds", limit=100)
    for start in range(0, 9000, 70):
        envelope.add(table[start : start + 70])
        assert sum(map(len, envelope._parts)) <= 2 * 100
    rows = envelope.rows()
    assert len(rows) <= 100
    assert list(rows) == list(table)
    assert rows["y"].max() == 50
    assert rows["y"].min() == table["y"].min()
    assert rows["ds"].is_monotonic_increasing
