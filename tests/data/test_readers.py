"""Labelled files, lines to predict, compression: what is read, and the line that an error names."""

import bz2
import gzip
import io
import json
import lzma
import os
import sys
import threading

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.data import streams
from rnncli.data.readers import open_bytes, read_labelled, read_line_blocks, read_texts
from rnncli.data.streams import STDIN
from rnncli.errors import CorpusError, UsageError


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


COMPRESS = {"none": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="data.txt"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture
def give_stdin(monkeypatch):
    def give(data: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


@pytest.mark.parametrize("kind", COMPRESS)
def test_compression_is_known_by_content(kind, write, give_stdin):
    data = COMPRESS[kind](b"first\nsecond\n") + COMPRESS[kind](b"third\n")
    with open_bytes(write(data, "named.txt")) as stream:
        assert stream.read() == b"first\nsecond\nthird\n"
    give_stdin(data)
    assert [t.text for t in read_texts(STDIN)] == ["first", "second", "third"]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_truncated_compression_is_an_error(kind, write):
    data = COMPRESS[kind](os.urandom(3000).hex().encode())
    with pytest.raises(CorpusError, match=r"cut\.txt.*ends early"):
        list(read_line_blocks(write(data[: len(data) // 2], "cut.txt")))


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        open_bytes(tmp_path / "none.txt")
    with pytest.raises(UsageError, match="directory"):
        read_texts(tmp_path)


@settings(deadline=None)
@given(
    lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n\ufeff"), max_size=12), max_size=12),
    block_bytes=st.integers(1, 20),
    end=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    closed=st.booleans(),
)
def test_blocks_join_to_the_text(tmp_path_factory, lines, block_bytes, end, bom, closed):
    path = tmp_path_factory.mktemp("blocks") / "t.txt"
    text = end.join(lines) + (end if closed and lines else "")
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
    blocks = list(read_line_blocks(path, block_bytes))
    assert b"".join(b.text for b in blocks) == text.replace("\r\n", "\n").encode()
    seen = 0
    for block in blocks:
        assert block.first_line == seen + 1
        seen += block.text.count(b"\n")


@pytest.mark.parametrize("block_bytes", [1, 4, 1000])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"caf\xe9", "UTF-8"),
        (b"a\0b", "binary"),
        (b"\xed\xa0\x80", "UTF-8"),
        (b"\xc0\xaf", "UTF-8"),
        (b"\xf0\x9f", "UTF-8"),
    ],
)
def test_bad_bytes_name_their_line(write, block_bytes, bad, words):
    path = write("gut\nschön\n".encode() + bad + b"\nlast\n", "bad.txt")
    with pytest.raises(CorpusError, match=rf"bad\.txt:3: .*{words}"):
        list(read_line_blocks(path, block_bytes))
    with pytest.raises(CorpusError, match=rf"bad\.txt:3: .*{words}"):
        list(read_texts(path))


def test_a_line_without_end_is_cut_at_a_space(write, monkeypatch):
    monkeypatch.setattr(streams, "LONGEST_LINE", 20)
    text = b"alpha beta " * 20
    cut = []
    blocks = list(read_line_blocks(write(text), 8, on_cut=cut.append))
    assert len(blocks) > 5
    assert len(cut) >= len(blocks) - 1  # nothing is cut in silence
    assert set(cut) == {1}
    assert b"".join(b.text for b in blocks) == text
    assert all(b.text.endswith(b" ") and b.first_line == 1 for b in blocks)
    with pytest.raises(CorpusError, match="without a space"):
        list(read_line_blocks(write(b"x" * 100), 8))


TABLE = [("pos", 'a "b, c', 2), ("no", "", 3), ("1", "don't", 4)]
FORMS = {
    "tsv": "label\ttext\npos\ta \"b, c\nno\t\n1\tdon't\n",
    "csv": 'label,text\npos,"a ""b, c"\nno,\n1,don\'t\n',
    "jsonl": '\n{"label": "pos", "text": "a \\"b, c"}\n{"label": "no", "text": ""}\n{"label": 1, "text": "don\'t"}\n',
    "fasttext": "\n__label__pos a \"b, c\n__label__no\n__label__1 don't\n",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["named", "by suffix", "by content"])
def test_every_form_gives_the_same_records(form, how, write):
    name = f"d.{form}.gz" if how == "by suffix" and form != "fasttext" else "d"
    data = gzip.compress(FORMS[form].encode()) if name.endswith("gz") else FORMS[form]
    found = read_labelled(write(data, name), form if how == "named" else "auto")
    assert list(zip(found.labels, found.texts, found.lines, strict=True)) == TABLE


def test_csv_fields_may_span_lines_and_be_long(write):
    long = "x" * 200_000
    path = write(f'text,label\r\n"two\r\nlines",a\r\n\r\n{long},b\r\nlast,c\r\n', "d.csv")
    found = read_labelled(path)
    assert found.texts == ["two\nlines", long, "last"]
    assert found.lines == [2, 5, 6]


def test_json_labels_become_their_json_text(write):
    labels = ["no", " pos ", 1, 1.5, True]
    path = write("".join(json.dumps({"label": x, "text": "t"}) + "\n" for x in labels))
    assert read_labelled(path).labels == ["no", "pos", "1", "1.5", "true"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.tsv", "label\ttext\na\tb\n \tc\n", "d.tsv:3: the label is missing"),
        ("d.tsv", "label\ttext\na\tb\nonly\n", "d.tsv:3: 1 field where the header has 2"),
        ("d.tsv", "label\ttext\na\tb\tc\n", "d.tsv:2: 3 fields"),
        ("d.tsv", "lable\ttext\na\tb\n", "d.tsv:1: no column 'label'; .*'lable', 'text'; did you mean 'lable'"),
        ("d.tsv", "label\ttext\ttext\na\tb\tc\n", "'text' is there 2 times"),
        ("d.csv", 'label,text\na,b\nc,"open\n', "d.csv:3: not valid CSV"),
        ("d.csv", 'label,text\na,"b"x\n', "d.csv:2: not valid CSV"),
        ("d.csv", 'label,text\n"a\nb",c\n,d\n', "d.csv:4: the label is missing"),
        ("d.jsonl", '{"label": "a", "text": "b"}\n{"label": null, "text": "b"}\n', "d.jsonl:2: the label is missing"),
        ("d.jsonl", '{"label": "a", "text": "b"}\n{"label": \n', "d.jsonl:2: not a JSON object"),
        ("d.jsonl", '{"label": "a", "Text": "b"}\n', "d.jsonl:1: no key 'text'; .*did you mean 'Text'"),
        ("d.jsonl", '{"label": ["a"], "text": "b"}\n', "d.jsonl:1: the label is a list"),
        ("d.jsonl", '{"label": NaN, "text": "b"}\n', "d.jsonl:1: not a JSON object"),
        ("d.jsonl", '{"label": "a", "text": 3}\n', "d.jsonl:1: 'text' is a number"),
        ("d.jsonl", '{"label": "a", "text": "\\ud800"}\n', "d.jsonl:1: .*surrogate"),
        ("d.jsonl", "[" * 100_000 + "\n", "d.jsonl:1: not a JSON object"),
        ("d.txt", "__label__a x\nno label\n", "d.txt:2: the label is missing"),
        ("d.txt", "__label__a __label__b x\n", "d.txt:1: more than one label"),
        ("d.txt", "__label__ x\n", "d.txt:1: the label is missing"),
        ("d.txt", "just words\n", "d.txt:1: neither"),
        ("d.tsv", "", "d.tsv: the file is empty"),
        ("d.tsv", " \n\n", "d.tsv: the file is empty"),
        ("d.tsv", "label\ttext\n", "d.tsv: there is a header but no record"),
    ],
)
def test_errors_name_the_line(write, name, content, message):
    with pytest.raises(CorpusError, match=message):
        read_labelled(write(content, name))


def test_lines_in_lines_out(write):
    found = list(read_texts(write("\ufeffone\r\n\r\n  \ntab\there\nlast")))
    assert [(t.line, t.text) for t in found] == [(1, "one"), (2, ""), (3, "  "), (4, "tab\there"), (5, "last")]


def test_json_lines_to_predict(write):
    found = list(read_texts(write('\n{"review": "a"}\n\n{"review": ""}\n'), "review"))
    assert [t.text for t in found] == ["", "a", "", ""]
    with pytest.raises(CorpusError, match=r"data\.txt:2: not a JSON object"):
        list(read_texts(write('{"text": "a"}\nplain\n')))
    with pytest.raises(CorpusError, match=r"data\.txt:1: no key 'text'.*did you mean 'txt'"):
        list(read_texts(write('{"txt": "a"}\n')))
    assert [t.text for t in read_texts(write('plain\n{"text": "a"}\n'))] == ["plain", '{"text": "a"}']


@pytest.mark.parametrize("first", [b"B", b"hello\n"])
def test_an_open_pipe_gives_its_lines_at_once(monkeypatch, first):
    """The second line is written only after the first was read: a reader that waits for more would never end."""
    read_end, write_end = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(read_end, "r"))
    os.write(write_end, first)
    if first == b"B":  # could become the mark of bz2
        threading.Timer(0.05, os.write, (write_end, b"ye\n")).start()
    texts = read_texts(STDIN)
    assert next(texts).text in ("Bye", "hello")
    os.write(write_end, b"more\n")
    assert next(texts).text == "more"
    os.close(write_end)
    assert list(texts) == []
    sys.stdin.close()


def test_real_files_are_read(real_data):
    sst = read_labelled(real_data / "sst2" / "train.tsv")
    assert len(sst.texts) == 6920
    nsmc = read_labelled(real_data / "nsmc30k" / "test.tsv.gz")
    assert len(nsmc.texts) == 6000
    assert len(set(nsmc.labels)) == 2
