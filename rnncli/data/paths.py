"""Which text files a list of files, folders and patterns means."""

import fnmatch
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rnncli.data.streams import STDIN
from rnncli.errors import UsageError

MAGIC = frozenset("*?[")
ANY_DEPTH = "**"

Identity = tuple[int, int]  # device and inode


def expand_paths(paths: Sequence[Path]) -> list[Path]:
    """The files that `paths` name, in their order.

    A file (or pipe) stays, and so does `-`. A folder becomes the regular files in it and below, a pattern (`*`, `?`,
    `[ab]` in a name, `**` for folders of any depth) the regular files it matches; both sorted by path, without names
    that start with a dot unless the pattern spells the dot. A file whose own name looks like a pattern is that file.
    Each real file comes once, at its first place, however many paths, links or patterns lead to it. Links are
    followed; each real folder is entered once, so loops of links end.

    Raises UsageError for what does not exist or cannot be read, for a broken link, and for a folder or a pattern
    without any file.
    """
    found: list[Path] = []
    seen: set[Identity] = set()
    for path in paths:
        if path == STDIN:
            found.append(path)
            continue
        for file in _files_of(path):
            identity = _identity(_status(file))
            if identity not in seen:
                seen.add(identity)
                found.append(file)
    return found


def _files_of(path: Path) -> list[Path]:
    if not path.exists() and MAGIC.intersection(str(path)):
        files = _regular(_matches(path))
        if not files:
            raise UsageError(f"{path}: no file matches this pattern; quote it, and look at the folder it begins with")
        return files
    if not stat.S_ISDIR(_status(path).st_mode):
        return [path]
    files = _regular(entry for folder in _folders_below(path) for entry in _entries(folder))
    if not files:
        raise UsageError(f"{path}: no file in this folder (names that start with a dot do not count)")
    return files


def _matches(pattern: Path) -> list[Path]:
    """Everything of the pattern's shape, folders and broken links included."""
    names = pattern.relative_to(pattern.anchor).parts
    if names[-1] == ANY_DEPTH:
        names = (*names, "*")
    found = [Path(pattern.anchor)]
    for name in names:
        folders = [path for path in found if path.is_dir()]
        if name == ANY_DEPTH:
            found = list(dict.fromkeys(below for folder in folders for below in _folders_below(folder)))
        elif MAGIC.intersection(name):
            found = [e for folder in folders for e in _entries(folder, hidden=name[0] == ".") if _fits(e, name)]
        else:
            found = [folder / name for folder in folders if os.path.lexists(folder / name)]
    return found


def _fits(entry: Path, name: str) -> bool:
    return fnmatch.fnmatchcase(entry.name, name)


def _folders_below(top: Path) -> Iterator[Path]:
    """`top` and every folder below it, each real one once, by its own name rather than a link's where it has both."""
    entered: set[Identity] = set()
    own, linked = [top], list[Path]()
    while own or linked:
        folder = own.pop() if own else linked.pop(0)
        identity = _identity(_status(folder))
        if identity in entered:
            continue
        entered.add(identity)
        yield folder
        for entry in _entries(folder):
            if entry.is_dir():
                (linked if entry.is_symlink() else own).append(entry)


def _regular(paths: Iterable[Path]) -> list[Path]:
    """The regular files among `paths`, sorted by code points."""
    return sorted((path for path in paths if stat.S_ISREG(_status(path).st_mode)), key=str)


def _entries(folder: Path, hidden: bool = False) -> list[Path]:
    """What a folder holds, sorted by name; with `hidden` the names that start with a dot, else the others."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  # names only: Path.iterdir would join each of them twice
    except OSError as error:
        raise UsageError(f"{folder}: this folder cannot be read: {error.strerror or error}") from None
    return [folder / name for name in names if name.startswith(".") == hidden]


def _status(path: Path) -> os.stat_result:
    """What the path is, links followed."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "a link to a file that does not exist" if path.is_symlink() else "no such file or folder"
        raise UsageError(f"{path}: {what}") from error
    except (OSError, ValueError) as error:
        reason = "a link that leads to itself" if path.is_symlink() else getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be opened: {reason}") from error


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino
