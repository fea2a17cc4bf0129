"""Anomalies on public sets: our detector beside naive, random and published ones, by the protocol of each set.

- ``nab``: the Numenta Anomaly Benchmark, the 39 files at hand of 58 (15 % of each file to learn from, at most 750 rows;
  one threshold for all files, the best for each detector, as on the benchmark's board). Published detectors are scored
  anew on the same files. ``vus_pr`` is a mean over the files with labels.
- ``smap``: 54 SMAP channels with their commands as inputs, learned from the training arrays. Events are counted as
  telemanom counts them, over all channels; ``f1_even`` is of every second one from the first on, ``f1_odd`` of the
  others. ``vus_pr`` is that of the test arrays, as TSB-AD has it.
- ``gecco``: water quality, 9 sensors, one file; learned from the rows before the first event. ``ap`` is of all rows.
- ``skab``: valve1, 16 files, 400 rows to learn from, the others pooled. ``far`` and ``mar``: share of healthy rows that
  are flagged, of anomalous ones that are not.
- ``clean``: false alarms a week where nothing is wrong, against those that were asked for: the simulated pump and
  GECCO, learned from the first half of the longest stretch without event.

Every detector has one configuration for all files of a set, sees rows once and in order, and no label. Published scores
are those of the benchmark's repository. Means over the seeds, their range in brackets. The data are not part of the
package: the folder is ``TSRNN_DATA`` or ``../shared/data``.

    python benchmarks/anomaly.py [--set NAME ...] [--seeds N] [--quick] [--json FILE]
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsrnn.anomaly import AnomalyDetector
from tsrnn.anomaly import evaluation as ev
from tsrnn.anomaly.rules import Quality
from tsrnn.data import read_csv
from tsrnn.data.datasets import data_folder
from tsrnn.data.synthetic import pump
from tsrnn.forecasting.online import AutoRegression, Persistence, RecurrentPredictor
from tsrnn.forecasting.predictor import AbstractPredictor

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Recording:
    """A file of a set."""

    name: str
    table: pd.DataFrame
    """``ds``, sensors and inputs."""
    sensors: list[str]
    n_train: int
    labels: Bools
    windows: NDArray[np.int64] | None = None
    """First and last rows, where they are more than the labels say."""
    apart: bool = False
    """Whether training rows are another file: then what follows is scored from a fresh state."""

    @property
    def values(self) -> Floats:
        return self.table[self.sensors].to_numpy(dtype=float)

    @property
    def streams(self) -> list[slice]:
        """Rows that are scored without a break."""
        return [slice(0, self.n_train), slice(self.n_train, None)] if self.apart else [slice(None)]


class Answer(NamedTuple):
    """What a detector says of a recording's rows."""

    scores: Floats
    """Smooth: for metrics of ranking."""
    alarms: Bools | None = None
    sharp: Floats | None = None
    """For the NAB score; the smooth ones if there are none."""


Detector = Callable[[list[Recording], int], list[Answer]]


# The sets


def nab(folder: Path) -> Iterator[Recording]:
    root = folder / "anomaly/nab"
    windows = json.loads((root / "labels/combined_windows.json").read_text())
    for path in sorted((root / "data").rglob("*.csv")):
        name = str(path.relative_to(root / "data"))
        table = pd.read_csv(path).rename(columns={"timestamp": "ds"})
        stamps = table["ds"].tolist()
        rows = [[stamps.index(str(pd.Timestamp(stamp))) for stamp in pair] for pair in windows[name]]
        limits = np.array(rows, dtype=int).reshape(-1, 2)
        labels = np.zeros(len(table), dtype=bool)
        for first, last in limits:
            labels[first : last + 1] = True
        n_train = min(int(0.15 * len(table)), 750)
        yield Recording(name, table.assign(ds=pd.to_datetime(table["ds"])), ["value"], n_train, labels, limits)


def smap(folder: Path) -> Iterator[Recording]:
    root = folder / "anomaly/telemanom"
    arrays, labels = np.load(root / "smap.npz"), pd.read_csv(root / "labeled_anomalies.csv")
    for name, rows in labels[labels["spacecraft"] == "SMAP"].groupby("chan_id", sort=False):
        train, test = arrays[f"train/{name}"], arrays[f"test/{name}"]
        values = np.concatenate([train, test])
        truth = np.zeros(len(values), dtype=bool)
        for first, last in (pair for text in rows["anomaly_sequences"] for pair in json.loads(text)):
            truth[len(train) + first : len(train) + last + 1] = True
        columns = ["telemetry", *(f"command_{k}" for k in range(1, values.shape[1]))]
        table = pd.DataFrame(values, columns=columns).rename_axis("ds").reset_index()
        yield Recording(str(name), table, ["telemetry"], len(train), truth, apart=True)


def gecco(folder: Path) -> Iterator[Recording]:
    table = read_csv(folder / "anomaly/gecco2018/geccoIC2018Train.csv.gz", time_col="timestamp")
    labels = table.pop("EVENT").to_numpy(dtype=bool)
    sensors = [name for name in table if name != "timestamp"]
    n_train = int(labels.argmax()) - 100
    yield Recording("gecco", table.rename(columns={"timestamp": "ds"}), sensors, n_train, labels)


def skab(folder: Path) -> Iterator[Recording]:
    for path in sorted((folder / "anomaly/skab/valve1").glob("*.csv"), key=lambda path: int(path.stem)):
        table = read_csv(path, time_col="datetime", delimiter=";").rename(columns={"datetime": "ds"})
        labels = table.pop("anomaly").to_numpy() > 0
        table = table.drop(columns="changepoint")
        yield Recording(path.stem, table, [name for name in table if name != "ds"], 400, labels)


def clean(folder: Path) -> Iterator[Recording]:
    table, faults = pump(days=56)
    table = table.rename(columns={"timestamp": "ds"})
    truth = ev.label_rows(faults, table["ds"])
    for recording in (
        Recording("pump", table, [name for name in table if name != "ds"], 0, truth),
        *gecco(folder),
    ):
        starts, stops = ev.segments(~recording.labels)
        longest = np.argmax(stops - starts)
        rows = slice(starts[longest] + 100, stops[longest] - 100)  # what is around an event may belong to it
        part = recording.table.iloc[rows].reset_index(drop=True)
        yield Recording(recording.name, part, recording.sensors, len(part) // 2, np.zeros(len(part), dtype=bool))


SETS: dict[str, Callable[[Path], Iterator[Recording]]] = {
    "nab": nab,
    "smap": smap,
    "gecco": gecco,
    "skab": skab,
    "clean": clean,
}


# How each set is judged


def judge_nab(recordings: list[Recording], answers: list[Answer]) -> dict[str, float]:
    sharp = [answer.scores if answer.sharp is None else answer.sharp for answer in answers]
    windows = [recording.windows for recording in recordings]
    out = {profile: ev.nab_score(sharp, windows, profile).score for profile in ev.PROFILES}
    if all(answer.alarms is not None for answer in answers):
        out["own_line"] = ev.nab_score([answer.alarms for answer in answers], windows, threshold=1.0).score
    volumes = [ev.vus(a.scores, r.labels)[1] for r, a in zip(recordings, answers, strict=True) if r.labels.any()]
    return out | {"vus_pr": float(np.mean(volumes))}


def judge_smap(recordings: list[Recording], answers: list[Answer]) -> dict[str, float]:
    volumes, counts = [], []
    for recording, (scores, alarms, _) in zip(recordings, answers, strict=True):
        test = slice(recording.n_train, None)
        window = period(recording.values[test, 0])
        volumes.append(ev.vus(scores[test], recording.labels[test], window)[1])
        if alarms is not None:
            counts.append(ev.event_counts(alarms[test], recording.labels[test], first_only=True))
    volume = {"vus_pr": float(np.mean(volumes))}
    if not counts:
        return volume
    table = pd.DataFrame(counts)
    found = ev.precision_recall_f1(**table.sum())
    for k, half in enumerate(("f1_even", "f1_odd")):
        found[half] = ev.precision_recall_f1(**table[k::2].sum())["f1"]
    return found | volume


def judge_gecco(recordings: list[Recording], answers: list[Answer]) -> dict[str, float]:
    (recording,), ((scores, alarms, _),) = recordings, answers
    out = {"ap": ev.pr_auc(scores, recording.labels), "vus_pr": ev.vus(scores, recording.labels)[1]}
    if alarms is not None:
        out |= {f"event_{name}": value for name, value in ev.event_metrics(alarms, recording.labels).items()}
        out["false_alarms_per_week"] = ev.false_alarms_per_week(alarms, recording.labels, recording.table["ds"])
    return out


def judge_skab(recordings: list[Recording], answers: list[Answer]) -> dict[str, float]:
    labels = np.concatenate([recording.labels[recording.n_train :] for recording in recordings])
    scores = np.concatenate([a.scores[r.n_train :] for r, a in zip(recordings, answers, strict=True)])
    out = {"ap": ev.pr_auc(scores, labels)}
    if all(answer.alarms is not None for answer in answers):
        alarms = np.concatenate([a.alarms[r.n_train :] for r, a in zip(recordings, answers, strict=True)])
        found = ev.point_metrics(alarms, labels)
        out |= {"f1": found["f1"], "far": float(alarms[~labels].mean()), "mar": 1 - found["recall"]}
    return out


def judge_clean(recordings: list[Recording], answers: list[Answer]) -> dict[str, float]:
    out = {}
    for recording, answer in zip(recordings, answers, strict=True):
        held = slice(recording.n_train, None)
        times = recording.table["ds"][held]
        out[recording.name] = ev.false_alarms_per_week(answer.alarms[held], recording.labels[held], times)
    return out


JUDGES: dict[str, Callable[[list[Recording], list[Answer]], dict[str, float]]] = {
    "nab": judge_nab,
    "smap": judge_smap,
    "gecco": judge_gecco,
    "skab": judge_skab,
    "clean": judge_clean,
}


def period(values: Floats) -> int:
    """The lag, from 3 to 303, of the highest local maximum of the autocorrelation, else 125: TSB-AD's window of VUS."""
    off = values[:20_000] - values[:20_000].mean()
    spectrum = np.fft.rfft(off, 2 * len(off))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[3:401]
    peaks = 1 + np.flatnonzero((correlation[1:-1] > correlation[:-2]) & (correlation[1:-1] > correlation[2:]))
    best = peaks[correlation[peaks].argmax()] if len(peaks) else 0
    return int(best + 3) if 3 <= best <= 300 else 125


# Detectors that cost nothing


def random(recordings: list[Recording], seed: int) -> list[Answer]:
    rng = np.random.default_rng(seed)
    return [Answer(rng.random(len(recording.table))) for recording in recordings]


def naive(recordings: list[Recording], seed: int) -> list[Answer]:
    """Running mean of absolute differences; no alarms."""
    return [
        Answer(np.concatenate([ev.naive_score(r.values[rows], n_train=r.n_train) for rows in r.streams]))
        for r in recordings
    ]


def all_ones(recordings: list[Recording], seed: int) -> list[Answer]:
    return [Answer(np.ones(len(r.table)), np.ones(len(r.table), dtype=bool)) for r in recordings]


def mahalanobis(recordings: list[Recording], seed: int) -> list[Answer]:
    """Distance of a row from the training rows, alarms above their 99 % quantile."""
    answers = []
    for recording in recordings:
        known = recording.values[: recording.n_train]
        precision = np.linalg.pinv(np.cov(known.T))
        off = recording.values - known.mean(axis=0)
        scores = np.einsum("ij,jk,ik->i", off, precision, off)
        answers.append(Answer(scores, scores > np.quantile(scores[: recording.n_train], 0.99)))
    return answers


@cache
def published_scores(folder: Path) -> dict[str, Floats]:
    return dict(np.load(folder / "anomaly/nab/results/published_anomaly_scores.npz"))


def published(name: str) -> Detector:
    def answer(recordings: list[Recording], seed: int) -> list[Answer]:
        scores = published_scores(data_folder())
        return [Answer(scores[f"{name}/{recording.name}"]) for recording in recordings]

    return answer


# Ours


def ours(make: Callable[[int], AnomalyDetector], settle: int = 0, padding: int = 0) -> Detector:
    """A detector for each recording, fitted on its training rows.

    Alarms are rows above the line, but for the first rows of a stream to settle in, and with a padding.
    """

    def answer(recordings: list[Recording], seed: int) -> list[Answer]:
        detectors, answers = [], []
        for sensors, group in groupby(recordings, key=lambda recording: recording.sensors):
            tables = [recording.table[: recording.n_train] for recording in group]
            inputs = [name for name in tables[0] if name not in ("ds", *sensors)]
            detectors += make(seed).fit_each(tables, sensors=sensors, inputs=inputs)
        for recording, detector in zip(recordings, detectors, strict=True):
            found = pd.concat([detector.score(recording.table[rows]) for rows in recording.streams])
            score = found["score"].fillna(0.0).to_numpy()
            alarms = score > 1
            for rows in recording.streams:
                alarms[rows][:settle] = False
            answers.append(Answer(found["severity"].to_numpy(), padded(alarms, padding), onsets(score)))
        return answers

    return answer


def padded(alarms: Bools, rows: int) -> Bools:
    """Alarms with so many rows on both sides."""
    return np.convolve(alarms, np.ones(2 * rows + 1), "same") > 0.5


def onsets(scores: Floats, quiet: int = 100) -> Floats:
    """Scores that are higher than those of the rows before; 0 elsewhere, so that an event is reported once."""
    before = pd.Series(scores).shift(fill_value=0.0).rolling(quiet, min_periods=1).max().to_numpy()
    return np.where(scores > before, scores, 0.0)


PLAIN = Quality(stuck=False, units=False, counters=(), sentinels=())  # the model alone


def record(predictor: AbstractPredictor, *errors: str) -> AnomalyDetector:
    """NAB: whatever is higher than ever, errors or the values themselves."""
    return AnomalyDetector(
        predictor, scorers=(*errors, "high", "low"), threshold="record", span=50, calibration=0.7, hold=None
    )


def dynamic(predictor: AbstractPredictor) -> AnomalyDetector:
    """SMAP: averaged errors and the threshold of telemanom, all constants as published."""
    return AnomalyDetector(predictor, scorers=("smooth",), threshold="dynamic", span=105, hold=None, quality=PLAIN)


def severity(predictor: AbstractPredictor, span: int) -> AnomalyDetector:
    """GECCO: averaged errors, every value read."""
    return AnomalyDetector(predictor, scorers=("smooth",), span=span, hold=None, quality=PLAIN)


def unrest(predictor: AbstractPredictor) -> AnomalyDetector:
    """SKAB: averaged squares of errors, all sensors together."""
    return AnomalyDetector(
        predictor, scorers=("unrest",), severity="unrest", span=30, hold=None, false_alarms_per_week=7.0, quality=PLAIN
    )


def lstm(seed: int, order: int = 10) -> RecurrentPredictor:
    return RecurrentPredictor(hidden_size=32, order=order, max_steps=300, random_state=seed)


TELEMANOM = {"settle": 750, "padding": 100}  # rows that it does not judge at first, and around what it finds
PUBLISHED = (
    *("ARTime", "contextOSE", "numenta", "htmjava", "numentaTM", "earthgeckoSkyline", "knncad", "relativeEntropy"),
    *("randomCutForest", "twitterADVec", "skyline", "windowedGaussian", "expose", "bayesChangePt"),
)
DETECTORS: dict[str, dict[str, Detector]] = {
    "nab": {
        "random": random,
        "naive": naive,
        **{name: published(name) for name in PUBLISHED},
        "highest or lowest value so far": ours(lambda seed: record(Persistence())),
        "tsrnn, AR": ours(lambda seed: record(AutoRegression(), "smooth")),
        "tsrnn, LSTM": ours(lambda seed: record(lstm(seed), "smooth")),
    },
    "smap": {
        "random": random,
        "naive": naive,
        "tsrnn, last value, events": ours(lambda seed: dynamic(Persistence()), **TELEMANOM),
        "tsrnn, AR, events": ours(lambda seed: dynamic(AutoRegression()), **TELEMANOM),
        "tsrnn, AR by least squares, events": ours(lambda seed: dynamic(AutoRegression(output="normal")), **TELEMANOM),
        "tsrnn, LSTM, events": ours(lambda seed: dynamic(lstm(seed)), **TELEMANOM),
    },
    "gecco": {
        "random": random,
        "naive": naive,
        "tsrnn, AR": ours(lambda seed: severity(AutoRegression(), 50)),
        "tsrnn, LSTM": ours(lambda seed: severity(lstm(seed), 50)),
    },
    "skab": {
        "random": random,
        "naive": naive,
        "all ones": all_ones,
        "Mahalanobis": mahalanobis,
        "tsrnn, AR": ours(lambda seed: unrest(AutoRegression(3))),
        "tsrnn, LSTM": ours(lambda seed: unrest(lstm(seed, order=3))),
    },
    "clean": {
        # Alarms no more than 60 rows apart are one event.
        "tsrnn, AR": ours(lambda seed: AnomalyDetector(AutoRegression()), padding=30),
        "tsrnn, LSTM": ours(lambda seed: AnomalyDetector(lstm(seed)), padding=30),
        "tsrnn, AR, SPOT": ours(lambda seed: AnomalyDetector(AutoRegression(), threshold="spot"), padding=30),
    },
}
DRAWN = ("random", "tsrnn, LSTM", "tsrnn, LSTM, events")  # the others give the same whatever the seed


# The table


def run(name: str, n_seeds: int, quick: bool, only: list[str] | None) -> dict[str, dict[str, list[float]]]:
    """Metrics of each detector, a list over seeds."""
    recordings = list(SETS[name](data_folder()))
    if quick:
        recordings = recordings[3 :: len(recordings) // 3]
    table: dict[str, dict[str, list[float]]] = {}
    for detector, answer in DETECTORS[name].items():
        if (only and detector not in only) or (quick and "LSTM" in detector):
            continue
        for seed in range(n_seeds if detector in DRAWN else 1):
            for metric, value in JUDGES[name](recordings, answer(recordings, seed)).items():
                table.setdefault(detector, {}).setdefault(metric, []).append(round(value, 4))
        print(f"{name}: {detector} {table[detector]}", file=sys.stderr, flush=True)
    return table


def cell(values: list[float], digits: int) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def markdown(table: dict[str, dict[str, list[float]]], digits: int) -> str:
    metrics = list(dict.fromkeys(metric for row in table.values() for metric in row))
    lines = ["| detector | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
    for detector, row in table.items():
        lines.append("| " + " | ".join([detector, *(cell(row[m], digits) if m in row else "" for m in metrics)]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", choices=SETS, dest="sets", metavar="NAME")
    parser.add_argument("--only", nargs="+", metavar="DETECTOR", help="these rows")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--quick", action="store_true", help="three files of the small sets, one seed, no LSTM")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE too")
    args = parser.parse_args()
    sets = args.sets or (("nab", "smap", "skab") if args.quick else SETS)
    figures = {name: run(name, 1 if args.quick else args.seeds, args.quick, args.only) for name in sets}
    for name, table in figures.items():
        print(f"\n{name}\n\n{markdown(table, 1 if name in ('nab', 'clean') else 3)}", file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    means = {
        name: {
            detector: {metric: round(float(np.mean(values)), 3) for metric, values in row.items()}
            for detector, row in table.items()
        }
        for name, table in figures.items()
    }
    print(json.dumps(means))


if __name__ == "__main__":
    main()
