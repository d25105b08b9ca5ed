"""Word-vector files: what is written is read back bit by bit, damage is counted at its place, gensim agrees."""

import bz2
import gzip
import io
import lzma
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnncli.embeddings import format_readers
from rnncli.embeddings.damage import damage_sentences
from rnncli.embeddings.formats import read_vectors, read_vectors_and_format, write_vectors
from rnncli.errors import ArtifactError, UsageError
from rnncli.results import Damage, DamageReport

FORMATS = ["word2vec-text", "word2vec-bin", "glove", "fasttext-vec"]
TEXT = ["word2vec-text", "glove", "fasttext-vec"]


def written(words, vectors, format_):
    file = io.BytesIO()
    write_vectors(file, words, np.asarray(vectors, np.float32), format_)
    return file.getvalue()


def stored(tmp_path, content, name="vectors"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def assert_read_back(path, words, vectors):
    found_words, found, report = read_vectors(path)
    assert found_words == words
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.view(np.uint32), np.asarray(vectors, np.float32).view(np.uint32))
    assert report == DamageReport()
    assert not report


@pytest.fixture
def some():
    vectors = np.random.default_rng(1).normal(size=(500, 7)).astype(np.float32)
    vectors[0] = [0.1, -0.0, 3.4028235e38, 1e-45, 16777216, 1 / 3, -1e10]
    return [f"wörd{i}" for i in range(499)] + ["漢字"], vectors


@pytest.mark.parametrize("format_", FORMATS)
def test_round_trips_are_exact(tmp_path, some, format_):
    assert_read_back(stored(tmp_path, written(*some, format_)), *some)


@pytest.mark.parametrize("format_", FORMATS)
def test_the_block_size_does_not_matter(tmp_path, some, format_, monkeypatch):
    path = stored(tmp_path, written(*some, format_))
    monkeypatch.setattr("rnncli.embeddings.formats.HEAD_BYTES", 100)
    for size in (1, 30, 1000):
        monkeypatch.setattr(format_readers, "BLOCK_BYTES", size)
        assert_read_back(path, *some)


def test_every_float32_survives_text(tmp_path):
    """A random sample of all bit patterns; parsing through double and rounding twice would miss some."""
    bits = np.random.default_rng(2).integers(0, 2**32, 200_000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)][:190_000].reshape(-1, 10)
    assert_read_back(
        stored(tmp_path, written(words := [f"w{i}" for i in range(len(values))], values, "glove")), words, values
    )


WHITE = " \t\n\r\x0b\x0c"
tokens = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=WHITE + "\ufeff"), min_size=1, max_size=6)


@settings(deadline=None, max_examples=80)
@given(data=st.data(), words=st.lists(tokens, min_size=1, max_size=8, unique=True), dim=st.integers(1, 4))
@example(data=None, words=["7", "8"], dim=1)
def test_any_words_and_numbers_round_trip(tmp_path_factory, data, words, dim):
    shape = (len(words), dim)
    numbers = hnp.arrays(np.float32, shape, elements=st.floats(allow_nan=False, allow_infinity=False, width=32))
    vectors = np.ones(shape, np.float32) if data is None else data.draw(numbers)
    path = tmp_path_factory.getbasetemp() / "any"
    for format_ in FORMATS:
        path.write_bytes(written(words, vectors, format_))
        assert_read_back(path, words, vectors)


def test_the_forms_as_specified():
    assert written(["a", "b"], [[1, 0.1], [-2, 1e-7]], "word2vec-text") == b"2 2\na 1 0.1\nb -2 1e-7\n"
    assert written(["a"], [[0.5, 0.1]], "glove") == b"a 0.5 0.1\n"
    assert written(["7"], [[1]], "glove") == b"7 1.0\n"
    assert written(["a", "b"], [[1], [2]], "word2vec-bin") == b"2 1\na \0\0\x80\x3f\nb \0\0\0\x40\n"


@pytest.mark.parametrize("between", [b"", b"\n"])
def test_binary_with_and_without_newlines(tmp_path, some, between):
    words, vectors = some
    vectors[3] = np.frombuffer(b"\n\n a b c d e f g h i j k l m", np.float32)  # separators inside the numbers
    rows = [w.encode() + b" " + v.tobytes() + between for w, v in zip(words, vectors, strict=True)]
    path = stored(tmp_path, b"500 7\n" + b"".join(rows))
    assert_read_back(path, words, vectors)
    assert read_vectors_and_format(path)[3] == "word2vec-bin"


def test_how_other_programs_space_their_text(tmp_path):
    """word2vec.c and fastText end lines with a space; tabs, CRLF, a byte order mark, no last newline."""
    expected = ["a", "b"], [[1, 2.5], [3, -4]]
    for text in (
        "2 2\na 1 2.5 \nb 3 -4 \n",
        "2 2 \r\na 1 2.5\r\nb 3 -4\r\n",
        "a\t1\t2.5\nb\t3\t-4",
        "\ufeffa 1 2.5\nb 3 -4\n",
        "\ufeff2 2\na 1 2.5\nb 3 -4",
        "a  1 2.5\n\nb 3.0e0  -4\n\n",
    ):
        assert_read_back(stored(tmp_path, text), *expected)


def zstd(data):
    return pa.compress(data, codec="zstd", asbytes=True)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
@pytest.mark.parametrize("format_", ["glove", "word2vec-bin"])
def test_compressed_files_are_known_by_content(tmp_path, some, pack, format_):
    assert_read_back(stored(tmp_path, pack(written(*some, format_)), "name.txt"), *some)


def test_cut_compression_is_an_artifact_error(tmp_path, some):
    with pytest.raises(ArtifactError, match="gz data is damaged or ends early"):
        read_vectors(stored(tmp_path, gzip.compress(written(*some, "glove"))[:-40]))


GOOD = "3 2\na 1 2\nb 3 4\nc 5 6\n"
# kind, content, words kept, count, first line
DAMAGE = [
    ("duplicates", b"4 2\na 1 2\nb 3 4\na 9 9\nc 5 6\n", "abc", 1, 4),
    ("bad_utf8", b"5 2\na 1 2\n\xff\xfe 7 7\nb 3 4\n\xe4 1 1\nc 5 6\n", "abc", 2, 3),
    ("wrong_field_count", b"a 1 2\nx 7\nb 3 4\n 1 2\nx\nc 5 6\n", "abc", 3, 2),
    ("bad_numbers", b"a 1 2\nb 3 4\nx 1 zwei\ny 1_0 2\nc 5 6\n", "abc", 2, 3),
    ("non_finite", b"a 1 2\nb 3 4\nc 5 6\nx nan 1\ny 1 -inf\nz 1 1e39\n", "abc", 3, 4),
    ("header_mismatch", b"5 2\na 1 2\nb 3 4\nc 5 6\n", "abc", 2, 1),
    ("header_mismatch", b"3 7\na 1 2\nb 3 4\nc 5 6\n", "abc", 1, 1),
]


@pytest.mark.parametrize(("kind", "content", "words", "count", "first"), DAMAGE)
def test_damage_is_counted_at_its_line(tmp_path, kind, content, words, count, first):
    path = stored(tmp_path, content)
    found, vectors, report = read_vectors(path)
    assert found == list(words)
    np.testing.assert_array_equal(vectors, [[1, 2], [3, 4], [5, 6]])
    assert report == DamageReport(**{kind: Damage(count, first)})
    assert report
    (sentence,) = damage_sentences(report)
    assert f"line {first})" in sentence
    with pytest.raises(ArtifactError) as caught:
        read_vectors(path, strict=True)
    assert str(caught.value).startswith(f"{path}:{first}: ")
    assert "\n" not in str(caught.value)


def test_words_of_several_fields_are_joined(tmp_path):
    """As in glove.840B, whose words include `. . .` and `at name@domain.com`."""
    path = stored(tmp_path, "a 1 2\n. . . 3 4\nat x@y.z 5 6\n1 2 7 8\n")
    words, vectors, report = read_vectors(path)
    assert words == ["a", ". . .", "at x@y.z", "1 2"]
    np.testing.assert_array_equal(vectors, [[1, 2], [3, 4], [5, 6], [7, 8]])
    assert report == DamageReport(tokens_with_spaces=Damage(3, 2))
    with pytest.raises(ArtifactError, match=f"{path.name}:2: a word of several fields"):
        read_vectors(path, strict=True)


def test_a_header_of_phrases_is_believed(tmp_path):
    """Most rows end in more numbers than a vector has; the header tells where it begins."""
    text = "3 2\nroute 66 1 2\nroute 1 3 4\nnew york 5 6\n"
    words, vectors, _ = read_vectors(stored(tmp_path, text))
    assert words == ["route 66", "route 1", "new york"]
    np.testing.assert_array_equal(vectors, [[1, 2], [3, 4], [5, 6]])


def test_strict_names_what_comes_first_in_the_file(tmp_path):
    path = stored(tmp_path, "a 1 2\nb nan 1\nx 1\na 1 2\n\n")
    with pytest.raises(ArtifactError, match=r":2: the vector holds nan or inf"):
        read_vectors(path, strict=True)


def test_many_bad_numbers_among_good_lines(tmp_path):
    """The search for the lines Arrow rejects neither loses nor doubles nor reorders a row."""
    lines = [f"w{i} {i} {'x' if i % 7 == 3 else i}" for i in range(1000)]
    words, vectors, report = read_vectors(stored(tmp_path, "\n".join(lines)))
    kept = [i for i in range(1000) if i % 7 != 3]
    assert words == [f"w{i}" for i in kept]
    np.testing.assert_array_equal(vectors, np.array([kept, kept], np.float32).T)
    assert report == DamageReport(bad_numbers=Damage(1000 - len(kept), 4))


def test_odd_first_bytes_of_a_line_stay_words(tmp_path):
    """What Arrow's parser treats specially: a mark at the start of a block, quotes, a lone carriage return."""
    text = 'a 1 2\n\ufeff 3 4\n" 5 6\n\\ 7 8\n# 9 1\nNA 1 1\nx\ry 2 2\nnan 0 3\n'
    words, vectors, report = read_vectors(stored(tmp_path, text))
    assert words == ["a", "\ufeff", '"', "\\", "#", "NA", "x\ry", "nan"]
    assert vectors[-1].tolist() == [0, 3]
    assert not report


@pytest.mark.parametrize("cut", [1, 2, 3, 10, 31])
def test_a_truncated_binary_keeps_what_is_whole(tmp_path, some, cut):
    words, vectors = some
    path = stored(tmp_path, written(words, vectors, "word2vec-bin")[:-cut])
    found, found_vectors, report = read_vectors(path)
    if cut == 1:  # the newline alone is missing
        assert not report
        assert found == words
        return
    assert found == words[:-1]
    np.testing.assert_array_equal(found_vectors, vectors[:-1])
    assert report == DamageReport(truncated=Damage(1, 500))
    assert damage_sentences(report, "row") == ["1 row missing or unreadable at the end (first: row 500)"]
    with pytest.raises(ArtifactError, match="row 500: the file ends"):
        read_vectors(path, strict=True)


def test_damage_inside_a_binary_file(tmp_path):
    def row(word, *numbers):
        return word + b" " + np.array(numbers, np.float32).tobytes()

    rows = [row(b"a", 1, 2), row(b"\xff", 3, 4), row(b"a", 5, 6), row(b"n", np.nan, 1), row(b"z", 7, 8)]
    words, vectors, report = read_vectors(stored(tmp_path, b"9 2\n" + b"".join(rows)))
    assert words == ["a", "z"]
    np.testing.assert_array_equal(vectors, [[1, 2], [7, 8]])
    assert report == DamageReport(
        bad_utf8=Damage(1, 2), duplicates=Damage(1, 3), non_finite=Damage(1, 4), header_mismatch=Damage(4, 6)
    )
    _, _, report = read_vectors(stored(tmp_path, b"4 2\n" + b"".join(rows)))
    assert report.header_mismatch == Damage(1, 5)
    words, _, report = read_vectors(stored(tmp_path, b"9 2\n" + rows[0] + b"x" * 200_000))
    assert (words, report.truncated) == (["a"], Damage(8, 2))


def test_damage_of_any_kind_is_reported_or_refused(tmp_path):
    """Bytes changed, lost and put in: never another exception, never NaN or equal words; strict agrees with the report."""
    rng = np.random.default_rng(5)
    words, vectors = [f"w{i}é" for i in range(20)], rng.normal(size=(20, 3))
    path = tmp_path / "mutant"
    for turn in range(300):
        content = bytearray(written(words, vectors, FORMATS[turn % 3]))
        for at in rng.integers(len(content) - 10, size=3):
            extra = rng.choice(list(b" \n\r\t0\xff\xef\xbb\xbf9.ae-\0"), size=rng.integers(4)).astype(np.uint8)
            content[at : at + rng.integers(4)] = bytes(extra)
        path.write_bytes(content)
        try:
            found, numbers, report = read_vectors(path)
        except ArtifactError:
            continue
        assert len(set(found)) == len(found) == len(numbers)
        assert np.isfinite(numbers).all()
        try:
            read_vectors(path, strict=True)
            assert not report
        except ArtifactError:
            assert report


def test_a_lying_header_costs_no_memory(tmp_path):
    path = stored(tmp_path, b"999999999999999 3\na " + np.ones(3, np.float32).tobytes())
    assert read_vectors(path)[2].header_mismatch == Damage(999999999999998, 2)


@pytest.mark.parametrize(
    "content", ["", "\n\n", "hello world\n", "label\ttext\n1\tgood film\n", "3 5\n", "0 5\n", "a nan\n"]
)
def test_nothing_usable_is_an_artifact_error(tmp_path, content):
    with pytest.raises(ArtifactError) as caught:
        read_vectors(stored(tmp_path, content))
    assert "vectors: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no such"):
        read_vectors(tmp_path / "none")


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("word", ["new york", "a\tb", "a\n", "", "\udc80"])
def test_words_that_no_format_holds_are_named(word, format_):
    file = io.BytesIO()
    with pytest.raises(ArtifactError) as caught:
        write_vectors(file, ["a", word], np.zeros((2, 2), np.float32), format_)
    assert str(caught.value).startswith(f"row 2: the word {word!r} ")
    assert "\n" not in str(caught.value)
    assert not file.getvalue()


def test_memory_is_little_more_than_the_vectors(tmp_path):
    """The array grows where it lies; blocks are let go."""
    import tracemalloc

    values = np.random.default_rng(3).normal(size=(20_000, 100)).astype(np.float32)
    path = stored(tmp_path, written([f"w{i}" for i in range(len(values))], values, "word2vec-bin"))
    del values
    tracemalloc.start()
    try:
        _, vectors, _ = read_vectors(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < vectors.nbytes * 1.25 + 5 * format_readers.BLOCK_BYTES


class TestAgainstGensim:
    @pytest.fixture
    def keyed(self):
        models = pytest.importorskip("gensim.models")
        return models.KeyedVectors

    # gensim leaves the file it counted rows in open when there is no header.
    @pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("format_", FORMATS)
    def test_gensim_loads_what_we_write(self, tmp_path, some, keyed, format_):
        path = stored(tmp_path, written(*some, format_))
        loaded = keyed.load_word2vec_format(str(path), binary=format_ == "word2vec-bin", no_header=format_ == "glove")
        assert loaded.index_to_key == some[0]
        np.testing.assert_array_equal(loaded.vectors, some[1])

    @pytest.mark.parametrize(("binary", "header"), [(False, True), (False, False), (True, True)])
    def test_we_read_what_gensim_saves(self, tmp_path, some, keyed, binary, header):
        vectors = keyed(some[1].shape[1])
        vectors.add_vectors(*some)
        path = tmp_path / "gensim"
        vectors.save_word2vec_format(str(path), binary=binary, write_header=header)
        assert_read_back(Path(path), *some)
