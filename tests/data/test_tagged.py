"""Tagged files: one token a line; and sentences to tag, one a line."""

import bz2
import os
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.data.tagged import read_tagged, read_untagged
from rnncli.errors import CorpusError, UsageError

CONLLU = """# sent_id = 1
1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_
1\tde\tde\tADP\tE\t_\t0\troot\t_\t_
2\tle\tle\tDET\tD\t_\t1\tdet\t_\t_
2.1\tx\tx\tX\tX\t_\t_\t_\t_\t_

# text = # 9
1\t#\t#\tSYM\tS\t_\t0\troot\t_\t_
2\t1 000\t1000\tNUM\tN\t_\t1\tdep\t_\t_
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes, name: str = "d.tsv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def sentences(found) -> list[list[tuple[str, str]]]:
    pairs = list(zip(found.tokens, found.labels, strict=True))
    return [pairs[a:b] for a, b in pairwise(found.offsets)]


def test_tabs_and_sentence_ends(write):
    path = write("\n\na b\tX\r\nc\tY\r\n\r\n \n\t\n\nd\tX")
    found = read_tagged(path)
    assert sentences(found) == [[("a b", "X"), ("c", "Y")], [("d", "X")]]
    assert found.offsets.dtype == np.int64
    assert found.lines == [3, 4, 9]
    assert (found.columns, found.path) == ({}, str(path))


def test_white_space_columns_and_documents(write):
    text = "-DOCSTART- -X- O\n\nU.N.  NNP   B-ORG \n#\u00a01 NN O\n-DOCSTART- -X- O\nPeter NNP B-PER\n"
    found = read_tagged(write(bz2.compress(text.encode())), columns=[1, "-2", "1"])
    assert sentences(found) == [[("U.N.", "B-ORG"), ("#\u00a01", "O")], [("Peter", "B-PER")]]
    assert found.columns == {"1": ["NNP", "NN", "NNP"], "-2": ["NNP", "NN", "NNP"]}
    assert found.lines == [3, 4, 6]
    assert read_tagged(write(text), 0, 1).labels == ["NNP", "NN", "NNP"]


def test_a_name_makes_the_first_line_a_header(write):
    found = read_tagged(write("pos\tword\tner\n\nN\tcat\tO\nV\truns\tB\n"), "word", "ner", ["pos", 0])
    assert sentences(found) == [[("cat", "O"), ("runs", "B")]]
    assert found.columns == {"pos": ["N", "V"], "0": ["N", "V"]}
    assert found.lines == [3, 4]


@pytest.mark.parametrize(("token", "label"), [("FORM", "upos"), (1, 3), ("1", -7)])
def test_conllu(write, token, label):
    found = read_tagged(write(CONLLU), token, label, ["XPOS"])
    assert sentences(found) == [[("de", "ADP"), ("le", "DET")], [("#", "SYM"), ("1 000", "NUM")]]
    assert found.columns == {"XPOS": ["E", "D", "S", "N"]}
    assert found.lines == [3, 4, 8, 9]


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", {}, r"d\.tsv: the file is empty"),
        ("\n-DOCSTART- O\n\n", {}, r"d\.tsv: the file is empty"),
        ("word\ttag\n", {"token_column": "word"}, r"d\.tsv: no tagged token"),
        ("a\tX\nb\n", {}, r":2: 1 column where line 1 has 2; one token a line, a tab between"),
        ("a X\n\n\nb c X\n", {}, r":4: 3 columns where line 1 has 2; one token a line, white space between"),
        ("# a comment here\nb X\n", {}, r":2: .*# begins a comment in CoNLL-U files only"),
        ("b X\n# a comment here\n", {}, r":2: .*# begins a comment in CoNLL-U files only"),
        ("\nword\nword\n", {}, r":2: column 0 is both token and label \(1 column in a line\)"),
        ("a\tX\nb\t \n", {}, r":2: the label is missing"),
        ("a\tX\n\tX\n", {}, r":2: the token is missing"),
        ("a\t\tX\n", {"columns": ["1"]}, r":1: the value of column '1' is missing"),
        ("a X\n", {"label_column": 2}, r":1: no column 2; there are 2 columns"),
        ("a X\n", {"token_column": -3}, r":1: no column -3"),
        ("word tag\na X\n", {"label_column": "Tags"}, r":1: no column 'Tags'; .*'word', 'tag'; did you mean 'tag'\?"),
        ("w w\na X\n", {"label_column": "w"}, r":1: column 'w' is there 2 times"),
        ("a X\nb\xff X\n".encode("latin-1"), {}, r":2: byte 0xff"),
        (CONLLU, {}, r":2: a CoNLL-U file; name the columns"),
        (CONLLU, {"token_column": "form", "label_column": "pos"}, r":2: no column 'pos'.*did you mean '[UX]POS'"),
        (CONLLU + "3\tx\tX\n", {"token_column": 1, "label_column": 3}, r":10: 3 columns where line 2 has 10"),
    ],
)
def test_what_is_wrong_is_said(write, text, arguments, message):
    with pytest.raises(CorpusError, match=message) as caught:
        read_tagged(write(text), **arguments)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_tagged(tmp_path / "none.tsv")
    with pytest.raises(UsageError, match="no such file"):
        read_untagged(tmp_path / "none.txt")  # before the first line is asked for


WORD = st.text(st.characters(exclude_categories=("Cs", "Zs", "Cc", "Zl", "Zp")), min_size=1, max_size=4)


@settings(deadline=None)
@given(
    data=st.lists(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=4), min_size=1, max_size=4),
    separator=st.sampled_from(["\t", " ", " \t "]),
)
def test_round_trip(tmp_path_factory, data, separator):
    path = tmp_path_factory.getbasetemp() / "round.txt"
    path.write_bytes("\n".join("".join(f"x{w}{separator}{t}\n" for w, t in s) for s in data).encode())
    assert sentences(read_tagged(path)) == [[(f"x{w}", t) for w, t in s] for s in data]
    path.write_bytes("".join(" ".join(f"x{w}" for w, _ in s) + "\n" for s in data).encode())
    assert list(read_untagged(path)) == [[f"x{w}" for w, _ in s] for s in data]


def test_untagged_lines_n_in_n_out(write):
    path = write(b"\xef\xbb\xbfone  two\t3\r\n\n  \nfour\xc2\xa05 \n\nlast")
    assert list(read_untagged(path)) == [["one", "two", "3"], [], [], ["four\u00a05"], [], ["last"]]
    assert list(read_untagged(write(""))) == []
    with pytest.raises(CorpusError, match=":2: byte 0xff"):
        list(read_untagged(write(b"a\n\xff\n")))


def test_a_sentence_of_an_open_pipe_comes_at_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    answered = threading.Event()

    def feed() -> None:
        with pipe.open("wb", buffering=0) as out:
            out.write(b"first line\n")
            assert answered.wait(10)
            out.write(b"second\n")

    writer = threading.Thread(target=feed)
    writer.start()
    lines = read_untagged(pipe)
    assert next(lines) == ["first", "line"]
    answered.set()
    assert list(lines) == [["second"]]
    writer.join()
