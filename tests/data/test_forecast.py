"""Tables with odd cells, the parts of a table, and windows of a known signal."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.data.forecast import anchored, naive_forecasts, read_table, split_bounds, table_of, windows
from rnncli.errors import CorpusError
from rnncli.rnn.regression_metrics import regression_scores


def table(tmp_path, text, name="t.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_table(tmp_path / name)


def test_a_column_that_begins_late_is_an_error_and_not_left_out(tmp_path):
    with pytest.raises(CorpusError, match=r"t\.csv:2: a is '', not a number"):
        table(tmp_path, "day,a,b\nmo,,1\ntu,5,2\n")
    names, values, _ = table(tmp_path, "day,empty,b\nmo,,1\ntu,,2\n")
    assert names == ["b"]
    assert values.tolist() == [[1.0], [2.0]]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    # a blank line, a quoted field of two lines, and characters that only Python takes for line ends
    text = '\nnote,a\n"x\ny",1\n\nu\u2028v\x0cw,2\nlast,bad\n'
    with pytest.raises(CorpusError, match=r"t\.csv:7: a is 'bad'"):
        table(tmp_path, text)
    names, values, lines = table(tmp_path, text.replace("bad", "3"))
    assert (names, values[:, 0].tolist(), lines) == (["a"], [1.0, 2.0, 3.0], [3, 6, 7])
    assert table_of(text.replace("bad", "3").split("\n"))[1].tolist() == values.tolist()


def test_tabs_csv_and_gzip_are_one_table(tmp_path):
    rows = [["a", "b"], ["1", "2e3"], ["-0.5", "4"]]
    comma = table(tmp_path, "\r\n".join('"' + '","'.join(row) + '"' for row in rows) + "\r\n")
    tabs = table(tmp_path, "\n".join("\t".join(row) for row in rows), "t.tsv")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress("\n".join(",".join(row) for row in rows).encode()))
    for names, values, lines in (comma, tabs, read_table(tmp_path / "t.csv.gz")):
        assert (names, values.tolist(), lines) == (["a", "b"], [[1.0, 2000.0], [-0.5, 4.0]], [2, 3])


def test_a_quote_between_tabs_is_an_ordinary_character(tmp_path):
    assert table(tmp_path, 'size\tb\n"5\t1\n7\t2\n')[1].tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("text", "channels", "message"),
    [
        ("a,a\n1,2\n", None, r"t\.csv:1: column 'a' is there 2 times"),
        ("a,b\n1,1e39\n", ["b"], r"t\.csv:2: b is '1e39', not a number"),
        ('a,b\n1,"2\n', None, r"t\.csv:2: not valid CSV"),
        ("a\n1\n1_000\n", None, r"t\.csv:3: a is '1_000', not a number"),
        ('a\n1\n""\n', None, r"t\.csv:3: a is '', not a number"),
    ],
)
def test_what_must_not_be_guessed(tmp_path, text, channels, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(CorpusError, match=message):
        read_table(tmp_path / "t.csv", channels)


def test_a_name_that_is_nearly_right_is_suggested(tmp_path):
    table(tmp_path, "value,b\n1,2\n")
    with pytest.raises(CorpusError, match="did you mean 'value'"):
        read_table(tmp_path / "t.csv", ["vlaue"])


@given(st.integers(3, 5000), st.floats(0.05, 0.9), st.floats(0.05, 0.9))
def test_shares_never_ask_for_more_than_there_is(rows, a, b):
    split = (a * (1 - b), (1 - a) * (1 - b), b)
    bounds = split_bounds(rows, split)
    assert bounds[0] == 0
    assert bounds[-1] == rows  # the shares add up to 1
    assert sorted(bounds) == bounds
    assert all(
        abs((end - first) - part * rows) <= 1 for first, end, part in zip(bounds, bounds[1:], split, strict=False)
    )


def test_rounded_shares_fit_in_a_table_of_any_size():
    assert split_bounds(1006, (0.5, 0.25, 0.25)) == [0, 503, 754, 1006]
    assert split_bounds(6, (0.5, 0.25, 0.25))[-1] == 6


def test_the_seasonal_guess_of_a_periodic_signal_is_exact_and_persistence_errs_as_derived():
    step, season = np.arange(240), 24
    values = np.sin(2 * np.pi * step / season)[:, None]
    rows = windows(values, np.array([0]), 5, 30, 96, 192)
    origins = rows.starts + 5
    assert origins[0] == 96  # the window reaches back before the part
    assert origins[-1] + 30 == 192  # the last horizon ends with it
    assert rows.n == 96 - 30 + 1
    guesses = naive_forecasts(values, np.array([0]), 30, season, origins)
    assert regression_scores(rows.targets, guesses["seasonal"]).mse < 1e-12  # float32 targets
    # mean over all phases of (sin(x + h w) - sin(x))^2 is 1 - cos(h w); 48 origins cover the phases evenly
    wanted = np.mean([1 - np.cos(2 * np.pi * h / season) for h in range(1, 31)])
    assert regression_scores(rows.targets[:48], guesses["persistence"][:48]).mse == pytest.approx(wanted, rel=1e-5)


def test_no_seasonal_guess_before_the_first_season():
    values = np.arange(40.0)[:, None]
    assert "seasonal" not in naive_forecasts(values, np.array([0]), 2, 24, np.array([23, 30]))
    assert naive_forecasts(values, np.array([0]), 2, 24, np.array([24]))["seasonal"].tolist() == [[0.0, 1.0]]


def test_targets_are_time_major():
    values = np.arange(12.0).reshape(6, 2)  # row t holds 2 t and 2 t + 1
    rows = windows(values, np.array([1, 0]), 2, 2, 0, 6)
    assert rows.targets[0].tolist() == [5.0, 4.0, 7.0, 6.0]
    guess = naive_forecasts(values, np.array([1, 0]), 2, 2, rows.starts + 2)
    assert guess["persistence"][0].tolist() == [3.0, 2.0, 3.0, 2.0]
    assert guess["seasonal"][0].tolist() == [1.0, 0.0, 3.0, 2.0]


def test_anchored_windows_leave_the_shared_table_as_it_was():
    values = np.arange(20.0).reshape(10, 2)
    rows = windows(values, np.array([0]), 3, 1, 0, 10)
    kept = rows.values.copy()
    relative = anchored(rows, naive_forecasts(values, np.array([0]), 1, 1, rows.starts + 3)["persistence"])
    np.testing.assert_array_equal(rows.values, kept)
    np.testing.assert_array_equal(relative.values[:3], [[-4, -4], [-2, -2], [0, 0]])
    np.testing.assert_array_equal(relative.targets, np.full((rows.n, 1), 2.0))
