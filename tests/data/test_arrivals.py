"""Lines as they arrive: whole ones, numbered, whatever the reads bring."""

import io

import pytest

from rnncli.data import arrivals
from rnncli.data.arrivals import arriving_lines
from rnncli.errors import CorpusError, UsageError


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("end", ["", "\n"])
def test_every_line_comes_once_with_its_number(tmp_path, monkeypatch, size, end):
    monkeypatch.setattr(arrivals, "READ_BYTES", size)
    (tmp_path / "in.txt").write_bytes(("\ufeffone\r\n\nzwölf 三\nlast" + end).encode())
    batches = list(arriving_lines(tmp_path / "in.txt"))
    assert [line for batch in batches for line in batch] == [(1, "one"), (2, ""), (3, "zwölf 三"), (4, "last")]
    assert all(batches)


def test_what_has_arrived_is_not_held_back():
    class Pipe(io.RawIOBase):
        """Two writes; reading a third time would wait."""

        chunks = [b"a\nb\nc", b"d\n"]  # noqa: RUF012

        def readable(self):
            return True

        def readinto(self, buffer):
            assert self.chunks, "read before the lines at hand were given out"
            data = self.chunks.pop(0)
            buffer[: len(data)] = data
            return len(data)

    batches = arrivals._batches(io.BufferedReader(Pipe()), "pipe")
    assert next(batches) == [(1, "a"), (2, "b")]
    assert next(batches) == [(3, "cd")]


def test_bad_text_is_named_by_its_line(tmp_path):
    (tmp_path / "in.txt").write_bytes(b"one\ntwo\nth\xffree\n")
    with pytest.raises(CorpusError, match=r"in\.txt:3"):
        list(arriving_lines(tmp_path / "in.txt"))
    (tmp_path / "in.txt").write_bytes(b"one\n" + b"x" * (3 << 20))
    with pytest.raises(CorpusError, match=r"in\.txt:2: a line of more than 1 MiB"):
        list(arriving_lines(tmp_path / "in.txt"))
    with pytest.raises(UsageError, match="gone"):
        arriving_lines(tmp_path / "gone")
