"""Tables by parts: equal to the whole whatever the parts, and growing files in which no row is lost or told twice."""

import gzip
import io
import json
import os
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsrnn.data import DataError, read_table
from tsrnn.data.stream import Follower, Place, read_chunks
from tsrnn.data.validation import row

HEADER = "ds,flow,temp\n"
LINES = [f"2024-01-01 00:{i:02d},{i}.5,{-i}\n" for i in range(30)]


def parts(*how, **reading):
    return [chunk for chunk, _ in read_chunks(*how, **reading)]


def whole(*how, **reading):
    return pd.concat(parts(*how, **reading), ignore_index=True)


def drain(follower, **how):
    """All rows there are now, as the numbers in their first column."""
    found = []
    while len(frame := follower.read(**how)):
        found += frame["flow"].tolist()
    return found


def flows(lines):
    return [float(line.split(",")[1]) for line in lines]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "pump.csv"


class TestChunks:
    @pytest.mark.parametrize("rows", [1, 7, 29, 30, 1000, None])
    def test_chunks_are_the_table(self, file, rows):
        file.write_text(HEADER + "".join(LINES))
        chunks = parts(file, rows)
        pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), read_table(file))
        assert rows is None or max(map(len, chunks)) == min(rows, 30)

    @pytest.mark.parametrize("ending", ["", "\n", "\n\n \n", "\r\n\r\n"])
    def test_however_the_file_ends(self, file, ending):
        file.write_text(HEADER + "".join(LINES).rstrip("\n") + ending)
        assert len(whole(file, 4)) == 30

    def test_blank_lines_are_no_rows_and_lines_are_counted_still(self, file):
        file.write_text("\n" + HEADER + LINES[0] + "\n \n" + LINES[1] + "\n" + LINES[2].replace("-2", "cold"))
        *chunks, last = parts(file)
        assert [len(chunk) for chunk in chunks] == [1, 1]
        assert row(last, 0) == "line 8 of pump.csv"

    def test_every_way_of_writing_is_read_as_by_read_table(self, file):
        text = "when;flow;kind\n31/01/24 10;1,5;a\n01/02/24 11;-9999;b\n02/02/24 12;2,5;ä\n"
        file.write_text(text, encoding="latin-1")
        how = {
            "time_col": "when", "decimal": ",", "time_format": "%d/%m/%y %H", "na_values": -9999, "encoding": "latin-1",
        }  # fmt: skip
        pd.testing.assert_frame_equal(whole(file, 1, **how), read_table(file, **how))

    def test_packed_files_parquet_and_folders(self, tmp_path):
        table = pd.read_csv(io.StringIO(HEADER + "".join(LINES)), parse_dates=["ds"])
        with gzip.open(tmp_path / "a.csv.gz", "wt") as packed:
            packed.write(HEADER + "".join(LINES))
        table.to_csv(tmp_path / "b.csv", index=False)
        table.to_parquet(tmp_path / "c.parquet")
        found = whole(tmp_path, 8, delimiter=None)
        np.testing.assert_array_equal(found["flow"], np.tile(table["flow"], 3))
        with pytest.raises(DataError, match="is Parquet, for which decimal means nothing"):
            whole(tmp_path / "c.parquet", decimal=",")
        assert (found["ds"].to_numpy() == np.tile(table["ds"].to_numpy(), 3)).all()

    def test_the_first_chunk_says_the_layout_of_the_stamps(self, file):
        file.write_text("ds,y\n01/02/2024,1\n02/02/2024,2\n13/02/2024,3\n")
        with pytest.raises(DataError, match=r"'13/02/2024' does not have the layout time_format='%m/%d/%Y'"):
            whole(file, 2)
        assert whole(file, 2, time_format="%d/%m/%Y")["ds"].dt.month.eq(2).all()
        file.write_text("ds,y\n1,1\n2,2\nthree,3\n")
        with pytest.raises(DataError, match=r"line 4 of pump.csv, column 'ds': 'three' is no integer"):
            whole(file, 2)

    @pytest.mark.parametrize("rows", [1, 2, 3, 5, 100])
    def test_an_hour_that_the_clock_repeats_is_read_in_order(self, file, rows):
        utc = pd.date_range("2024-10-26 22:00", periods=16, freq="30min", tz="UTC")
        local = utc.tz_convert("Europe/Berlin")
        file.write_text("ds,y\n" + "".join(f"{stamp:%Y-%m-%d %H:%M},1\n" for stamp in local))
        found = whole(file, rows, time_zone="Europe/Berlin")["ds"]
        assert (found == local).all()
        file.write_text("ds,y\n2024-03-31 01:30,1\n2024-03-31 02:30,1\n")
        with pytest.raises(DataError, match=r"line 3 of pump.csv.* is skipped on the clock of Europe/Berlin"):
            whole(file, 1, time_zone="Europe/Berlin")

    def test_stamps_with_offsets_are_in_utc(self, file):
        file.write_text("ds,y\n2024-10-27 02:30+02:00,1\n2024-10-27 02:30+01:00,2\n")
        assert whole(file, 1)["ds"].dt.hour.tolist() == [0, 1]

    @pytest.mark.parametrize(
        ("line", "match"),
        [
            ("2024-01-01 01:00,1,2,3\n", "line 12 has more fields than the header"),
            ("yesterday,1,2\n", "line 12 of pump.csv, column 'ds': 'yesterday'"),
            (",1,2\n", "line 12 of pump.csv has no time stamp"),
            ('2024-01-01 01:00,"1,2\n', "the quote that begins in line 12 is not closed"),
            ('2024-01-01 01:00,1,"2\n2024-01-01 01:00,1,2"\n', "lines 12 to 32 of pump.csv are not a row each"),
            ("2024-01-01 01:00,\udcff,2\n", "line 12 of pump.csv is not text in UTF-8"),
        ],
    )
    def test_a_line_that_cannot_be_read_is_named(self, file, line, match):
        text = HEADER + "".join([*LINES[:10], line, *LINES[11:]])
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        with Follower(file) as follower:
            assert len(follower.read(10)) == 10
            place = follower.place
            for _ in range(2):
                with pytest.raises(DataError, match=match):
                    follower.read(100)
                assert follower.place == place

    def test_what_has_no_lines_or_no_rows_is_said(self, tmp_path, file):
        for text in ("", "\n\n", HEADER):
            file.write_text(text)
            with pytest.raises(DataError, match=r"pump.csv has no rows"):
                parts(file)
        with pytest.raises(DataError, match="UTF-16 cannot be read line by line"):
            Follower(file, encoding="utf-16")
        with pytest.raises(DataError, match="encoding='klingon' is not known"):
            Follower(file, encoding="klingon")
        file.write_text("when,y\n1,2\n")
        with pytest.raises(DataError, match=r"no column 'ds' \(time_col\)"):
            parts(file)
        (tmp_path / "q.csv").write_text("ds,y\n1,2\n")
        (tmp_path / "r.csv").write_text("ds,x\n1,2\n")
        with pytest.raises(DataError, match="lacks the column 'y'"):
            parts(tmp_path / "[qr].csv")


class TestFollower:
    @settings(max_examples=30)
    @given(st.lists(st.tuples(st.integers(0, 90), st.booleans(), st.integers(1, 8)), max_size=15))
    def test_whatever_is_written_and_whenever_it_stops_each_row_is_told_once(self, tmp_path_factory, steps):
        file = tmp_path_factory.mktemp("log") / "pump.csv"
        data = (HEADER + "".join(LINES)).encode()
        file.touch()
        place, told, written = Place(), [], 0
        for size, restart, rows in [*steps, (len(data), True, 5)]:
            with file.open("ab") as log:
                log.write(data[written : written + size])
            written += size
            with Follower(file, Place(*json.loads(json.dumps(place)))) as follower:
                told += follower.read(rows)["flow"].tolist() if written > len(HEADER) else []
                if not restart:
                    told += drain(follower, rows=rows)
                place = follower.place
                complete = data[: min(written, len(data))].count(b"\n") - 1
                assert len(told) <= max(complete, 0)
        with Follower(file, place) as follower:
            told += drain(follower)
        assert told == flows(LINES)

    def test_a_half_written_line_waits(self, file):
        file.write_text(HEADER + LINES[0] + LINES[1][:-2])
        with Follower(file) as follower:
            assert drain(follower) == flows(LINES[:1])
            with file.open("a") as log:
                log.write(LINES[1][-2:])
            assert drain(follower) == flows(LINES[1:2])
            assert follower.place.offset == file.stat().st_size

    def test_a_file_that_was_cut_off_begins_anew(self, file):
        file.write_text(HEADER + "".join(LINES[:10]))
        with Follower(file) as follower:
            drain(follower)
            file.write_text(HEADER + "".join(LINES[20:22]))
            assert drain(follower) == flows(LINES[20:22])
            file.write_text(HEADER + "".join(LINES[5:20]))  # longer than it was
            assert drain(follower) == flows(LINES[5:20])

    def test_a_file_that_was_renamed_is_read_to_its_end_before_the_next(self, file):
        file.write_text(HEADER + "".join(LINES[:3]))
        with Follower(file) as follower:
            assert drain(follower, rows=2) == flows(LINES[:3])
            old = file.rename(f"{file}.1")
            with old.open("a") as log:
                log.write(LINES[3])
            assert drain(follower) == flows(LINES[3:4])
            assert drain(follower) == []
            with old.open("a") as log:
                log.write(LINES[4].rstrip())
            file.write_text("flow,ds\n7,2024-01-01 01:00\n")
            assert drain(follower) == [4.5, 7.0]

    def test_a_file_that_was_renamed_between_two_runs_is_found_again(self, file):
        file.write_text(HEADER + "".join(LINES[:10]))
        with Follower(file) as follower:
            follower.read(4)
        file.rename(f"{file}.1")
        file.write_text(HEADER + "".join(LINES[10:20]))
        with Follower(file, follower.place) as follower:
            assert drain(follower) == flows(LINES[4:20])

    def test_standard_input_goes_on_where_it_is(self):
        reads, writes = os.pipe()
        with os.fdopen(reads, "rb") as stream, os.fdopen(writes, "wb", buffering=0) as log:
            follower = Follower(stream)
            log.write((HEADER + LINES[0] + LINES[1][:4]).encode())
            assert follower.read()["flow"].tolist() == flows(LINES[:1])
            log.write((LINES[1][4:] + LINES[2]).encode())
            assert follower.read(1)["flow"].tolist() == flows(LINES[1:2])
            assert follower.read(1)["flow"].tolist() == flows(LINES[2:3])
        for first in ("", HEADER):
            later = Follower(
                io.BufferedReader(io.BytesIO((first + "".join(LINES[3:6])).rstrip().encode())), follower.place
            )
            found = drain(later)
            assert later.ended
            assert found == flows(LINES[3:6])

    def test_memory_is_that_of_a_chunk(self, file, monkeypatch):
        monkeypatch.setattr("tsrnn.data.stream._BLOCK", 200)
        file.write_text(HEADER + "".join(LINES))
        chunks = parts(file)
        assert max(map(len, chunks)) < 10
        pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), read_table(file))
        with Follower(file) as follower:
            places = [follower.place.offset]
            while len(follower.read()):
                places.append(follower.place.offset)
        assert all(0 < after - before <= 200 for before, after in pairwise(places))
        file.write_text(HEADER + 300 * "9")
        with pytest.raises(DataError, match=r"line 2 of pump.csv is no row: it does not end"):
            parts(file)
