"""The rules of docs/architecture.md, executed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "rnncli"
SOURCES = sorted(PACKAGE.rglob("*.py"))


def imported_names(source: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_rooms_see_only_the_rooms_below():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "KEPT" in done.stdout


@pytest.mark.parametrize(
    ("package", "where"),
    [
        ("numba", ["kernels/_jit.py"]),
        ("llvmlite", ["kernels/_jit.py"]),
        ("scipy", []),
        ("torch", []),
        ("typer", "cli/"),
        ("rich", "cli/"),
        ("click", []),
        ("pydantic", "config/"),
        ("yaml", "config/"),
    ],
)
def test_a_package_is_imported_in_its_room_only(package, where):
    users = {str(s.relative_to(PACKAGE)) for s in SOURCES if package in imported_names(s)}
    strangers = [u for u in users if not (u.startswith(where) if isinstance(where, str) else u in where)]
    assert not strangers


def test_only_the_command_line_prints_and_exits():
    for source in SOURCES:
        room = source.relative_to(PACKAGE).parts[0]
        if room in ("cli", "sample_data", "sample_data.py"):
            continue
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("print", "exit", "quit", "sys.exit"), f"{source}:{node.lineno}"


def test_every_public_kernel_says_its_shapes_or_equation():
    for source in sorted((PACKAGE / "kernels").glob("*.py")):
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{source}:{node.lineno} {node.name}"


def test_files_stay_small_enough_to_read():
    sizes = {str(s.relative_to(PACKAGE)): len(s.read_text(encoding="utf-8").splitlines()) for s in SOURCES}
    assert not {name: n for name, n in sizes.items() if n > 450}


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['rnncli', '--help']\n"
        "from rnncli.cli.app import run\n"
        "run(['--help'])\n"
        "heavy = {'numba', 'numpy', 'pydantic', 'pyarrow', 'yaml', 'rich', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "train-classifier" in done.stdout
