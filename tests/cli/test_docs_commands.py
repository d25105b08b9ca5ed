"""The commands that the pages of docs/ show work as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (
    "networks.md",
    "gradients.md",
    "gallery.md",
    "tagging.md",
    "regression.md",
    "language-models.md",
    "word-vectors.md",
    "querying.md",
    "vector-formats.md",
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A folder that looks like the project, and a path on which `rnncli` is this one."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("configs", "sample_data"):
        (folder / name).symlink_to(ROOT / name)
    program = folder / "bin" / "rnncli"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m rnncli "$@"\n')
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_the_page(page, copy):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert blocks, "the page shows no command"
    script = "set -euo pipefail\n" + "\n".join(blocks)
    environment = os.environ | {"PATH": f"{copy / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=copy, capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
