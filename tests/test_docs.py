"""The documentation says what the program does."""

import runpy
from dataclasses import fields
from pathlib import Path

import pytest

from rnncli import results
from rnncli.errors import ExitCode

DOCS = Path(__file__).parent.parent / "docs"


def test_the_config_page_is_up_to_date():
    page = runpy.run_path(str(DOCS / "generate.py"))["page"]()
    assert (DOCS / "config.md").read_text(encoding="utf-8") == page, "run python docs/generate.py"


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_exit_code_is_documented(code):
    assert f"| {int(code)} |" in (DOCS / "exit-codes.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", results.Result.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_key_of_json_output_is_documented(kind):
    text = (DOCS / "json.md").read_text(encoding="utf-8")
    missing = [f.name for f in fields(kind) if f"`{f.name}`" not in text]
    assert not missing


def test_links_between_documents_lead_somewhere():
    import re

    for page in [DOCS.parent / "README.md", *DOCS.glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
