"""Folders and patterns to files: what is found, in which order, how often, and what is refused."""

import glob
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.data.paths import expand_paths
from rnncli.data.streams import STDIN
from rnncli.errors import UsageError


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)


def expanded(*paths):
    return [str(path) for path in expand_paths([Path(path) for path in paths])]


def test_a_folder_becomes_its_files_sorted_by_path(here):
    make("c/b.txt", "c/a/z.txt", "c/a.txt", "c/a-b", "c/é", "c/Z", "c/.hidden", "c/.git/config", "other")
    # "-" and "." sort before "/", capitals before small letters
    assert expanded("c") == ["c/Z", "c/a-b", "c/a.txt", "c/a/z.txt", "c/b.txt", "c/é"]
    assert expanded("c/") == expanded("./c") == expanded("c")
    assert expanded(here / "c")[0] == str(here / "c" / "Z")
    os.chdir("c/a")
    assert expanded(".") == ["z.txt"]
    assert expanded("..")[1] == "../a-b"
    assert expanded("../.git") == ["../.git/config"]  # named by hand, a hidden folder is a folder


def test_files_and_standard_input_stay_where_they_are(here):
    make("b", "a")
    os.mkfifo("pipe")
    assert expanded("b", "-", "a", "pipe", "-") == ["b", "-", "a", "pipe", "-"]
    assert expand_paths([STDIN]) == [STDIN]
    assert expand_paths([]) == []


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.txt", ["[b].txt", "[x].txt", "a.txt", "b.txt"]),
        ("?.txt", ["a.txt", "b.txt"]),
        ("[!b].txt", ["a.txt"]),
        ("[[]x].txt", ["[x].txt"]),
        ("[b].txt", ["[b].txt"]),  # there is a file of that name
        ("d/*", ["d/one.gz"]),  # folders that match are not entered
        ("d/**", ["d/e/f/three.gz", "d/e/two.gz", "d/one.gz"]),
        ("**/*.gz", ["d/e/f/three.gz", "d/e/two.gz", "d/one.gz"]),
        ("**/e/**/*.gz", ["d/e/f/three.gz", "d/e/two.gz"]),
        ("d/**/**/t*", ["d/e/f/three.gz", "d/e/two.gz"]),
        ("*/e/tw?.gz", ["d/e/two.gz"]),
        ("*/../a.*", ["d/../a.txt"]),
        ("d/.*", ["d/.four.gz"]),
        ("d/.[!.]*/*", ["d/.g/five.gz"]),
        ("D/*", None),
        ("*.text", None),
        ("nothing/**/*", None),
        ("a.txt/*", None),
    ],
)
@pytest.mark.parametrize("absolute", [False, True])
def test_patterns(here, pattern, found, absolute):
    make(
        "a.txt", "b.txt", "[b].txt", "[x].txt", "d/one.gz", "d/e/two.gz", "d/e/f/three.gz", "d/.four.gz", "d/.g/five.gz"
    )
    prefix = f"{here}/" if absolute else ""
    if found is None:
        with pytest.raises(UsageError, match="no file matches this pattern") as error:
            expanded(prefix + pattern)
        assert pattern in str(error.value)
        assert "\n" not in str(error.value)
        return
    assert expanded(prefix + pattern) == [prefix + name for name in found]


def test_each_real_file_comes_once_at_its_first_place(here):
    make("c/a", "c/b", "c/d", "far/f")
    Path("c/again").symlink_to("d")
    os.link("c/b", "c/hard")
    Path("near").symlink_to("far")
    assert expanded("c") == ["c/a", "c/again", "c/b"]
    assert expanded("c/d", "c", "c/*", "./c/a") == ["c/d", "c/a", "c/b"]
    assert expanded("near/f", "far") == ["near/f"]


def test_linked_folders_are_entered_once_and_loops_end(here):
    make("c/x/1", "c/y/2", "outside/3")
    Path("c/out").symlink_to("../outside")
    Path("c/a").symlink_to("x")  # x is reached by its own name, not through the link that sorts first
    for folder in ("c", "c/x", "c/y", "outside"):  # every folder leads to every other: the walks without end are many
        for i, target in enumerate(["c", "c/x", "c/y", "outside"]):
            (Path(folder) / f"loop{i}").symlink_to(here / target)
    expected = ["c/loop3/3", "c/x/1", "c/y/2"]
    assert expanded("c") in (expected, ["c/out/3", *expected[1:]])
    assert expanded("c") == expanded("c")
    assert [Path(path).name for path in expanded("c/**/[0-9]")] == [Path(path).name for path in expanded("c")]
    assert expanded("**/3") == ["outside/3"]


def test_what_is_missing_or_broken_is_named(here):
    make("c/a")
    Path("empty/.hidden").mkdir(parents=True)
    Path("c/link").symlink_to("gone")
    Path("c/self").symlink_to("self")
    Path("lock").mkdir()
    Path("lock/.#file").symlink_to("user@host")  # an editor's lock: hidden, so none of our business
    make("lock/file")
    for path, message in [
        ("none.txt", "none.txt: no such file"),
        ("c/a/b", "c/a/b: no such file"),
        ("nul\0", "cannot be opened"),
        ("empty", "empty: no file in this folder"),
        ("c/link", "c/link: a link to a file that does not exist"),
        ("c/self", "c/self: cannot be opened: a link that leads to itself"),
        ("c", "c/link: a link to a file that does not exist"),
        ("c/l*", "c/link: a link to a file that does not exist"),
        ("c/s*", "c/self: cannot be opened: a link that leads to itself"),
    ]:
        with pytest.raises(UsageError, match=message) as error:
            expanded(path)
        assert "\n" not in str(error.value)
    assert expanded("c/a*") == ["c/a"]
    assert expanded("lock") == ["lock/file"]


@pytest.mark.parametrize("path", ["c", "c/**/*", "c/x/*"])
def test_a_folder_that_cannot_be_read_is_named(here, monkeypatch, path):
    make("c/a", "c/x/b")
    listed = os.listdir

    def refusing(folder):
        if Path(folder).name == "x":
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(os, "listdir", refusing)
    with pytest.raises(UsageError, match="c/x: this folder cannot be read: Permission denied"):
        expanded(path)


@pytest.mark.skipif(sys.platform == "win32", reason="names with these characters cannot be made there")
@settings(deadline=None, max_examples=60)
@given(
    names=st.sets(
        st.text("ab.[*", min_size=1, max_size=3).filter(lambda n: n not in (".", "..")), min_size=1, max_size=6
    ),
    pattern=st.text("ab.*?[]!", min_size=1, max_size=4),
)
def test_one_name_is_matched_as_the_shell_does(tmp_path_factory, names, pattern):
    if not any(c in pattern for c in "*?[") or "**" in pattern or pattern in names:
        return
    folder = tmp_path_factory.mktemp("names")
    for name in names:
        (folder / name).write_text("")
    shell = glob.glob(f"{glob.escape(str(folder))}/{pattern}")  # noqa: PTH207  # Path.glob finds hidden names too
    expected = sorted(str(Path(path)) for path in shell)
    try:
        assert expanded(folder / pattern) == expected
    except UsageError:
        assert not expected
