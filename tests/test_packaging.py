"""The folder map, the links and the files themselves: what setup.py promises is what lies on disk."""

from __future__ import annotations

import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINKS = ("operators", "recipes", "data")


def setup_arguments() -> dict[str, Any]:
    """The arguments of setup.py's `setup(...)` that are written out; nothing is run."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (call,) = (
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setup"
    )
    return {item.arg: ast.literal_eval(item.value) for item in call.keywords if item.arg in ("packages", "package_dir", "package_data")}


def files_below(folder: Path) -> list[Path]:
    """Every file under `folder`, behind no link, without what Python and editors leave behind."""
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not Path(at, name).is_symlink()]
        found += [Path(at, name) for name in names if not name.endswith(".pyc") and name != ".DS_Store"]
    return found


def git(*arguments: str) -> list[str]:
    """The lines that a git command prints; the test is skipped where there is no checkout."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


SETUP = setup_arguments()
ROOTS: dict[str, Path] = {name: ROOT / folder for name, folder in SETUP["package_dir"].items()}
LIBRARY = sorted(path for folder in ROOTS.values() for path in files_below(folder) if path.suffix == ".py")


def folder_of(package: str) -> Path:
    """Where a declared package lies: its own entry in package_dir, or below its parent."""
    if package in ROOTS:
        return ROOTS[package]
    parent, _, name = package.rpartition(".")
    return folder_of(parent) / name


def test_every_folder_with_python_files_is_declared() -> None:
    on_disk = set()
    for package, folder in ROOTS.items():
        for path in files_below(folder):
            if path.suffix == ".py":
                on_disk.add(".".join([package, *path.parent.relative_to(folder).parts]))
    assert on_disk == set(SETUP["packages"]), "setup.py: packages=[...] and the folders with Python files differ"


def test_every_package_has_an_init_file() -> None:
    assert [name for name in SETUP["packages"] if not (folder_of(name) / "__init__.py").is_file()] == []


def test_every_data_file_is_shipped() -> None:
    shipped = {
        path for package, patterns in SETUP["package_data"].items() for pattern in patterns for path in folder_of(package).glob(pattern)
    }
    left_out = [path for folder in ROOTS.values() for path in files_below(folder) if path.suffix != ".py" and path not in shipped]
    assert [str(path.relative_to(ROOT)) for path in left_out] == [], "setup.py: package_data matches none of these"


def test_every_package_data_pattern_matches_a_file() -> None:
    patterns = [(package, pattern) for package, patterns in SETUP["package_data"].items() for pattern in patterns]
    assert [pair for pair in patterns if not any(path.is_file() for path in folder_of(pair[0]).glob(pair[1]))] == []


@pytest.mark.parametrize("name", LINKS)
def test_links_are_links_in_git(name: str) -> None:
    entries = [line.split() for line in git("ls-files", "--stage", f"priorsolve/{name}")]
    assert [entry[0] for entry in entries] == ["120000"], f"priorsolve/{name} must be a link to ../{name}, not a copy"
    assert git("cat-file", "-p", entries[0][1]) == [f"../{name}"]


def test_files_are_short() -> None:
    lines = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for path in [*LIBRARY, *files_below(ROOT / "tests")]
        if path.suffix == ".py"
    }
    assert {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > 400} == {}
    assert statistics.median(lines[path] for path in LIBRARY) <= 130


def test_no_registry_host_and_no_path_of_one_machine() -> None:
    hosts = re.compile(r"files\.pythonhosted|\b(?:test\.)?pypi\.(?:org|io|python)|registry\.npmjs|proxy\.golang|conda\.anaconda")
    paths = re.compile(r"(?:^|[^\w.])[/](?:work|tmp|root|farm|opt)[/]")
    found = []
    for name in git("ls-files", "--cached", "--others", "--exclude-standard"):
        path = ROOT / name
        if path.is_symlink() or not path.is_file() or PurePosixPath(name).suffix in (".png", ".jpg", ".safetensors"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if hosts.search(line) or paths.search(line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert found == []


HELP = """
sys.argv = ["priorsolve", "--help"]
from priorsolve.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
"""
START = {"import priorsolve": "import priorsolve", "priorsolve --help": HELP}


@pytest.mark.parametrize("what", START)
def test_starts_quickly_and_without_torch(what: str) -> None:
    code = f"import sys\n{START[what]}\nassert 'torch' not in sys.modules, 'torch was imported'"
    seconds = []
    for _ in range(5):  # the best of five, in processor time: other work on the machine only ever adds
        start = os.times()
        run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        end = os.times()
        seconds.append(end.children_user + end.children_system - start.children_user - start.children_system)
        assert run.returncode == 0, run.stderr
    assert min(seconds) < 0.5
