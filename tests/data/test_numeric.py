"""Series, numbers as labels, tables over time, windows and naive forecasts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.data.forecast import anchored, naive_forecasts, read_table, split_bounds, windows
from rnncli.data.numeric import Standardiser, parse_series, read_number_labels, read_series
from rnncli.errors import ArtifactError, ConfigError, CorpusError


def write(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_series_of_jsonl_and_tables_are_the_same(tmp_path):
    as_json = write(
        tmp_path,
        "s.jsonl",
        '{"series": [[1, 2], [3, 4.5]], "label": 0.5}\n\n{"series": [], "label": 1}\n{"label": -1, "series": [[5, 6]]}\n',
    )
    as_table = write(tmp_path, "s.tsv", "label\tseries\n0.5\t1:2 3:4.5\n1\t\n-1\t5:6\n")
    for path, lines in ((as_json, [1, 3, 4]), (as_table, [2, 3, 4])):
        rows, found = read_series(path)
        assert found == lines
        np.testing.assert_array_equal(rows.values, np.array([[1, 2], [3, 4.5], [5, 6]], np.float32))
        np.testing.assert_array_equal(rows.lengths, [2, 0, 1])
        np.testing.assert_array_equal(rows.starts, [0, 2, 2])
        np.testing.assert_array_equal(rows.targets[:, 0], [0.5, 1, -1])
        taken = rows.take(np.array([2, 0]))
        np.testing.assert_array_equal(taken.lengths, [1, 2])
        assert (rows.n, rows.channels, rows.outputs) == (3, 2, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"series": [1, 2]}', "s.jsonl:1: no key 'label'"),
        ('{"series": [1, "x"], "label": 1}', "s.jsonl:1: step 2: 'x' is not a number"),
        ('{"series": [1, NaN], "label": 1}', "s.jsonl:1: step 2: nan is not a number"),
        ('{"series": [1], "label": true}', "s.jsonl:1: label True is not a number"),
        ('{"series": [[1, 2], [3]], "label": 1}', "s.jsonl:1: step 2 has 1 channels where there are 2"),
        ('{"series": [[1]], "label": 1}\n{"series": [[1, 2]], "label": 1}', "s.jsonl:2: step 1 has 2 channels"),
        ('{"series": [1], "label": 1}\n{"series": [1], "label": [1, 2]}', "s.jsonl:2: 2 numbers as label"),
        ('{"series": 5, "label": 1}', "s.jsonl:1: the series is not a list"),
        ('{"series": [1], "label": 1}\n{', "s.jsonl:2: not JSON"),
        ("", "s.jsonl: the file is empty"),
    ],
)
def test_what_is_wrong_in_a_series_file_is_said_with_its_line(tmp_path, text, message):
    with pytest.raises(CorpusError) as error:
        read_series(write(tmp_path, "s.jsonl", text))
    assert message in str(error.value)


def test_series_to_predict(tmp_path):
    path = write(tmp_path, "p.txt", '1 2 3\n\n[4, 5]\n{"series": [[6], [7]]}\n')
    lines = path.read_text().splitlines()
    assert [parse_series(line, "line").reshape(-1).tolist() for line in lines] == [[1, 2, 3], [], [4, 5], [6, 7]]
    with pytest.raises(CorpusError, match="line 3: no key 'series'"):
        parse_series('{"x": 1}', "line 3")


def test_numbers_as_labels(tmp_path):
    records, numbers = read_number_labels(write(tmp_path, "n.tsv", "label\ttext\n1e-3\ta b\n-2\tc\n"))
    assert records.texts == ["a b", "c"]
    np.testing.assert_array_equal(numbers, [[1e-3], [-2.0]])
    for bad in ("good", "nan", "inf"):
        with pytest.raises(CorpusError, match=rf"n\.tsv:2: label '{bad}' is not a number"):
            read_number_labels(write(tmp_path, "n.tsv", f"label\ttext\n{bad}\tx\n"))


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=20))
@settings(max_examples=50, deadline=None)
def test_standardising_and_back(values):
    x = np.array(values)
    scale = Standardiser.fit(x)
    np.testing.assert_allclose(scale.invert(scale.apply(x)), x, atol=1e-9)
    again = Standardiser.from_json(scale.to_json())
    np.testing.assert_array_equal(again.apply(x), scale.apply(x))


def test_a_constant_column_stays_finite_and_a_damaged_scale_is_refused():
    scale = Standardiser.fit(np.array([[1.0, 2.0], [1.0, 4.0]]))
    np.testing.assert_array_equal(scale.scale, [1.0, 1.0])
    with pytest.raises(ArtifactError):
        Standardiser.from_json({"mean": [0.0], "scale": [0.0]})


TABLE = "date,a,b\n2020-01-01,1,10\n2020-01-02,2,20\n2020-01-03,3,30\n"


def test_a_table_without_its_dates(tmp_path):
    names, values, lines = read_table(write(tmp_path, "t.csv", TABLE))
    assert names == ["a", "b"]
    np.testing.assert_array_equal(values, [[1, 10], [2, 20], [3, 30]])
    assert lines == [2, 3, 4]
    names, values, _ = read_table(tmp_path / "t.csv", ["b"])
    assert names == ["b"]
    np.testing.assert_array_equal(values, [[10], [20], [30]])


@pytest.mark.parametrize(
    ("text", "channels", "message"),
    [
        (TABLE, ["c"], "t.csv:1: no column 'c'"),
        (TABLE, ["date"], "t.csv:2: date is '2020-01-01', not a number"),
        (TABLE + "2020-01-04,,40\n", None, "t.csv:5: a is '', not a number"),
        (TABLE + "2020-01-04,4\n", None, "t.csv:5: 2 fields where the header has 3"),
        ("a,b\n", None, "there is a header but no row"),
        ("a\nx\n", None, "t.csv:2: no column holds numbers"),
        ("", None, "t.csv:1: the file is empty"),
    ],
)
def test_what_is_wrong_in_a_table(tmp_path, text, channels, message):
    with pytest.raises(CorpusError) as error:
        read_table(write(tmp_path, "t.csv", text), channels)
    assert message in str(error.value)


def test_parts_of_a_table():
    assert split_bounds(100, (0.6, 0.2, 0.2)) == [0, 60, 80, 100]
    assert split_bounds(100, (50, 20, 10)) == [0, 50, 70, 80]
    with pytest.raises(ConfigError, match="110 rows are asked for"):
        split_bounds(100, (50, 50, 10))


def naive_windows(values, targets, window, horizon, first, last):
    """Each origin by itself."""
    rows = []
    for origin in range(len(values) + 1):
        if origin >= window and origin >= first and origin + horizon <= last:
            future = values[origin : origin + horizon, targets]
            rows.append((values[origin - window : origin], future.reshape(-1)))
    return rows


@given(st.integers(5, 30), st.integers(1, 6), st.integers(1, 4), st.integers(0, 12), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_windows_are_those_of_the_definition(n, window, horizon, first, last):
    values = np.arange(2.0 * n).reshape(n, 2) ** 1.5
    last = min(last, n)
    targets = np.array([1])
    rows = windows(values, targets, window, horizon, first, last)
    expected = naive_windows(values, targets, window, horizon, first, last)
    assert rows.n == len(expected)
    for i, (read, future) in enumerate(expected):
        np.testing.assert_allclose(rows.values[rows.starts[i] : rows.starts[i] + rows.lengths[i]], read, rtol=1e-6)
        np.testing.assert_allclose(rows.targets[i], future, rtol=1e-6)
    guesses = naive_forecasts(values, targets, horizon, 3, rows.starts + window)
    for i, origin in enumerate(rows.starts + window):
        np.testing.assert_array_equal(guesses["persistence"][i], np.repeat(values[origin - 1, 1], horizon))
        if "seasonal" in guesses:
            wanted = [values[origin - 3 + h % 3, 1] for h in range(horizon)]
            np.testing.assert_array_equal(guesses["seasonal"][i], wanted)
    if rows.n:
        relative = anchored(rows, guesses["persistence"])
        assert not relative.values.reshape(rows.n, window, 2)[:, -1].any()
        back = relative.targets + guesses["persistence"]
        np.testing.assert_allclose(back, rows.targets, rtol=1e-4)


def test_a_constant_column_is_constant_though_its_mean_is_rounded():
    values = np.full((3, 2), 0.1)
    values[:, 1] = [1, 2, 3]
    assert values[:, 0].std() > 0  # 1e-17, which is no scale
    scale = Standardiser.fit(values)
    assert scale.scale[0] == 1.0
    np.testing.assert_array_equal(scale.apply(values)[:, 0], 0.0)
    np.testing.assert_allclose(scale.apply(np.array([[0.6, 2.0]])), [[0.5, 0.0]])


def test_a_scale_of_nothing_changes_nothing():
    scale = Standardiser.fit(np.empty((0, 2)))
    np.testing.assert_array_equal(scale.apply(np.array([[3.0, -1.0]])), [[3.0, -1.0]])


@pytest.mark.parametrize("number", ["1e39", "-1e300", "1" + "0" * 400, '"1_0"', "null", "{}"])
def test_numbers_that_the_network_cannot_hold(tmp_path, number):
    for row in (f'{{"series": [1, {number}], "label": 1}}', f'{{"series": [1], "label": {number}}}'):
        with pytest.raises(CorpusError, match=r"s\.jsonl:1: .* is not a number") as error:
            read_series(write(tmp_path, "s.jsonl", row))
        assert len(str(error.value)) < len(str(tmp_path)) + 100


def test_only_line_ends_end_a_line_of_json(tmp_path):
    text = '\n{"note": "a\u2028b\x0bc\x85d", "series": [1], "label": 1}\n{"series": [2], "label": "x"}\n'
    text = text.replace("\x0b", "")  # a control character, which JSON wants escaped
    with pytest.raises(CorpusError, match=r"s\.jsonl:3: label 'x'"):
        read_series(write(tmp_path, "s.jsonl", text))


@pytest.mark.parametrize(
    "text", ['{"series": [[1, 2]], "label": 3}\n', "\nlabel\tseries\n3\t1:2\n", "series,label\n1:2,3"]
)
def test_series_from_a_pipe_that_can_be_read_once(tmp_path, text):
    import os
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(text))
    writer.start()
    rows, _ = read_series(pipe)
    writer.join()
    np.testing.assert_array_equal(rows.values, [[1, 2]])
    np.testing.assert_array_equal(rows.targets, [[3]])


def test_a_long_series_in_a_csv_field(tmp_path):
    series = " ".join(str(n % 10) for n in range(100_000))  # more than the csv module takes by default
    rows, lines = read_series(write(tmp_path, "s.csv", f'series,label\n"{series}",1\n'))
    assert (rows.lengths.tolist(), lines) == ([100_000], [2])
    assert rows.values[:, 0].sum() == 450_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("serie,label\n1,2\n", r"s\.csv:1: no column 'series'; .* did you mean 'serie'"),
        ("series,label\n1,2,3\n", r"s\.csv:2: 3 fields where the header has 2"),
        ("series,label\n1 2,\n", r"s\.csv:2: label '' is not a number"),
        ("series,label\n1:2 3,4\n", r"s\.csv:2: step 2 has 1 channels where there are 2"),
        ("series,label\n", r"s\.csv: the file is empty"),
    ],
)
def test_what_is_wrong_in_a_table_of_series(tmp_path, text, message):
    with pytest.raises(CorpusError, match=message):
        read_series(write(tmp_path, "s.csv", text))
