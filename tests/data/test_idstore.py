"""Corpora as ids: equal to the slow way, cached, repaired, bounded."""

import gc
import gzip
import hashlib
import io
import os
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import tokens as reference

from rnncli.data import idstore, streams
from rnncli.data.idstore import build_id_store, default_cache
from rnncli.data.streams import STDIN
from rnncli.data.tokenise import Tokenizer
from rnncli.errors import CorpusError, UsageError
from rnncli.events import Note, PhaseStarted, Progressed

WORDS = Tokenizer("words", True)


def lines_of(store):
    return [
        [store.vocab.tokens[i] for i in store.ids[a:b]]
        for a, b in zip(store.offsets[:-1], store.offsets[1:], strict=True)
    ]


@settings(deadline=None, max_examples=60)
@given(
    files=st.lists(st.lists(st.text("ab é'.\t", max_size=12), max_size=8), min_size=1, max_size=3),
    min_count=st.integers(1, 3),
    max_vocab=st.one_of(st.none(), st.integers(1, 4)),
    unknown=st.booleans(),
    block_bytes=st.integers(1, 30),
    part=st.integers(1, 9),
)
def test_ids_equal_the_slow_way(tmp_path_factory, files, min_count, max_vocab, unknown, block_bytes, part):
    folder = tmp_path_factory.mktemp("corpus")
    paths = [folder / f"{i}.txt" for i in range(len(files))]
    for path, lines in zip(paths, files, strict=True):
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    expected = [reference.tokens("words", True, line) for lines in files for line in lines]
    counts = Counter(token for line in expected for token in line)
    kept = reference.kept_tokens(counts, min_count, max_vocab)
    read = idstore.read_line_blocks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idstore, "read_line_blocks", lambda path, **more: read(path, block_bytes, **more))
        patch.setattr(idstore, "REMAP_TOKENS", part)
        patch.setattr(idstore, "BLOCKS_PER_DICTIONARY", 2)
        if not kept:
            with pytest.raises(CorpusError, match="min_count" if counts else "empty"):
                build_id_store(paths, WORDS, min_count, max_vocab, unknown, None)
            return
        store = build_id_store(paths, WORDS, min_count, max_vocab, unknown, None)
    if unknown:
        assert lines_of(store) == [[t if t in kept else "<unk>" for t in line] for line in expected]
    else:
        assert lines_of(store) == [[t for t in line if t in kept] for line in expected]
    assert store.tokens == len(store.ids)
    assert np.bincount(store.ids, minlength=len(store.vocab)).tolist() == store.vocab.counts.tolist()
    assert (store.ids.dtype, store.offsets.dtype) == (np.int32, np.int64)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("the cat sat\n\nthe end\n")
    return path


def test_a_second_run_reuses_and_other_settings_do_not(corpus, tmp_path):
    cache = tmp_path / "cache"
    events = []
    first = build_id_store([corpus], WORDS, 1, None, False, cache, events.append)
    assert any(isinstance(e, PhaseStarted) and e.total == corpus.stat().st_size for e in events)
    assert [e.done for e in events if isinstance(e, Progressed)][-1] == corpus.stat().st_size
    assert first.sha256 == hashlib.sha256(corpus.read_bytes()).hexdigest()
    events.clear()
    copy = tmp_path / "copy.txt"
    copy.write_bytes(corpus.read_bytes())  # the content counts, not the name
    again = build_id_store([copy], WORDS, 1, None, False, cache, events.append)
    assert [type(e) for e in events] == [Note]
    assert lines_of(again) == lines_of(first) == [["the", "cat", "sat"], [], ["the", "end"]]
    assert again.report == first.report
    for other in [
        (WORDS, 2, None, False),
        (WORDS, 1, 1, False),
        (WORDS, 1, None, True),
        (Tokenizer("words", False), 1, None, False),
        (Tokenizer("chars", True), 1, None, False),
    ]:
        events.clear()
        build_id_store([corpus], *other, cache, events.append)
        assert any(isinstance(e, PhaseStarted) for e in events)
    assert len(list(cache.iterdir())) == 6
    corpus.write_text("the cat sat\n\nthe and\n")
    assert lines_of(build_id_store([corpus], WORDS, 1, None, False, cache))[2] == ["the", "and"]


@pytest.mark.parametrize("name", ["ids.i32", "offsets.i64", "vocabulary.json", "meta.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_cache_is_made_again(corpus, tmp_path, name, damage):
    cache = tmp_path / "cache"
    expected = lines_of(build_id_store([corpus], WORDS, 1, None, False, cache))
    (file,) = cache.glob(f"*/{name}")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-3])
    else:
        file.unlink()
    assert lines_of(build_id_store([corpus], WORDS, 1, None, False, cache)) == expected
    assert file.exists()
    assert len(list(cache.iterdir())) == 1


def test_writing_to_the_ids_changes_no_file(corpus, tmp_path):
    store = build_id_store([corpus], WORDS, 1, None, False, tmp_path / "cache")
    store.ids[:] = 7
    assert build_id_store([corpus], WORDS, 1, None, False, tmp_path / "cache").ids.max() < 7


def test_pipes_are_read_once_and_not_kept(corpus, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    data = gzip.compress(corpus.read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    store = build_id_store([STDIN], WORDS, 1, None, False, cache)
    assert lines_of(store)[0] == ["the", "cat", "sat"]
    assert store.sha256 == hashlib.sha256(data).hexdigest()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(data))
    writer.start()
    piped = build_id_store([fifo], WORDS, 1, None, False, cache)
    writer.join()
    assert lines_of(piped) == lines_of(store)
    del store, piped
    gc.collect()
    assert list(cache.iterdir()) == []  # the files go with the store
    with pytest.raises(UsageError, match="more than once"):
        build_id_store([STDIN, STDIN], WORDS, 1, None, False, None)


def test_failures_leave_nothing_behind(tmp_path):
    cache = tmp_path / "cache"
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"ok\nb\xe9d\n")
    with pytest.raises(CorpusError, match=r"bad\.txt:2"):
        build_id_store([bad], WORDS, 1, None, False, cache)
    bad.write_text("one two\n")
    with pytest.raises(CorpusError, match=r"min_count = 5 times .*1 times"):
        build_id_store([bad], WORDS, 5, None, True, cache)
    with pytest.raises(UsageError, match="no such file"):
        build_id_store([tmp_path / "none.txt"], WORDS, 1, None, False, cache)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_done_without(corpus):
    events = []
    store = build_id_store([corpus], WORDS, 1, None, False, corpus / "not a folder", events.append)
    assert store.tokens == 5
    assert "cannot be written" in events[0].text


def test_default_cache_follows_xdg(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "rnncli" / "corpora"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    assert Path(tmp_path / "tmp") in default_cache().parents


def test_korean_text(real_data):
    store = build_id_store([real_data / "nsmc30k" / "test.tsv.gz"], WORDS, 2, None, False, None)
    assert store.vocab.id_of("영화") is not None
    assert len(store.offsets) == 6002


def test_a_line_that_is_cut_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "LONGEST_LINE", 20)
    path = tmp_path / "endless.txt"
    path.write_text("short line\n" + "alpha beta " * 20)
    read = idstore.read_line_blocks
    monkeypatch.setattr(idstore, "read_line_blocks", lambda path, **more: read(path, 8, **more))
    notes = []
    build_id_store([path], Tokenizer("words"), 1, None, False, None, notes.append)
    texts = [note.text for note in notes if isinstance(note, Note)]
    assert any(text.startswith(f"{path}:2: a line of more than") for text in texts)
