"""Fetching with the real pip, no network: a wheel built here, found through pip's own settings."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import textwrap
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from priorsolve.priors import (
    ZOO,
    CacheError,
    CheckpointError,
    DownloadError,
    Entry,
    WrongFileError,
    cache_folder,
    cached_path,
    fetch,
    load_prior,
)
from priorsolve.priors.cache import cache_disk
from priorsolve.priors.zoo import Inner

WEIGHTS = bytes(range(256)) * 40
ENTRY = Entry(
    name="toy",
    requirement="priorsolve-toy==1.0",
    inner="priorsolve_toy/weights.bin",
    sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    bytes=len(WEIGHTS),
    download_bytes=1000,
    licence="MIT",
    image_shape=(3, 8, 8),
    provenance="Made in this test.",
    note="No prior at all.",
)
GRAPH = b"<net/>"
PAIR = replace(ENTRY, name="pair", folder="both", more=(Inner("priorsolve_toy/graph.xml", hashlib.sha256(GRAPH).hexdigest(), len(GRAPH)),))


def build_wheel(folder: Path, inner: str = ENTRY.inner, weights: bytes = WEIGHTS, **more: bytes) -> None:
    info = "priorsolve_toy-1.0.dist-info"
    records = {
        inner: weights,
        **{f"priorsolve_toy/{name}.xml": content for name, content in more.items()},
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: priorsolve-toy\nVersion: 1.0\nRequires-Python: >=99\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "priorsolve_toy-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip looks in, and nowhere else; the toy entry; an empty cache."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "wheels"
    build_wheel(folder)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PRIORSOLVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(ZOO, "toy", ENTRY)
    return folder


def use_python(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a shell script stand for this Python."""
    if sys.platform == "win32":
        pytest.skip("needs a shell")
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def left_over() -> list[str]:
    return [path.name for path in cache_folder().rglob("*") if path.is_file() or path.name.startswith(".")]


def test_fetch_then_offline(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress: list[tuple[int, int]] = []
    path = fetch("toy", on_progress=lambda done, total: progress.append((done, total)))
    assert path == cached_path("toy") == tmp_path / "cache" / "toy" / "weights.bin"
    assert path.read_bytes() == WEIGHTS
    assert progress[-1] == (1000, 1000)
    assert progress == sorted(progress)
    assert left_over() == ["weights.bin"]
    use_python("exit 9", tmp_path, monkeypatch)
    assert fetch("toy") == path


def test_a_damaged_cache_is_fetched_again(wheels: Path) -> None:
    path = fetch("toy")
    path.write_bytes(WEIGHTS[:-1] + b"\x00")
    assert fetch("toy").read_bytes() == WEIGHTS


def test_a_file_put_there_by_hand_serves(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_python("exit 9", tmp_path, monkeypatch)
    cached_path("toy").parent.mkdir(parents=True)
    cached_path("toy").write_bytes(WEIGHTS)
    assert fetch("toy") == cached_path("toy")


@pytest.mark.parametrize(("there", "which"), [(b"x" * 9, f"9 bytes, not {len(WEIGHTS)}"), (WEIGHTS[:-1] + b"!", "sha256 .*…, not .*…")])
def test_a_wrong_file_put_there_by_hand_is_told(
    there: bytes, which: str, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    cached_path("toy").parent.mkdir(parents=True)
    cached_path("toy").write_bytes(there)
    with pytest.raises(DownloadError, match=rf"{cached_path('toy')} is not the file that was examined \({which}\)"):
        fetch("toy")
    assert cached_path("toy").read_bytes() == there


def test_weights_in_several_files_are_a_folder(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ZOO, "pair", PAIR)
    build_wheel(wheels, graph=GRAPH)
    folder = fetch("pair")
    assert folder == cached_path("pair") == tmp_path / "cache" / "both"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"weights.bin": WEIGHTS, "graph.xml": GRAPH}
    (folder / "graph.xml").unlink()
    assert (fetch("pair") / "graph.xml").read_bytes() == GRAPH
    (folder / "graph.xml").unlink()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    with pytest.raises(DownloadError, match=r"or put priorsolve_toy/weights\.bin, priorsolve_toy/graph\.xml of .* into .*both"):
        fetch("pair")


def test_one_wrong_file_of_several_and_none_is_used(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ZOO, "pair", PAIR)
    build_wheel(wheels, graph=b"<NET/>")
    with pytest.raises(WrongFileError, match=r"pair: priorsolve_toy/graph\.xml of priorsolve-toy==1\.0 has sha256"):
        fetch("pair")
    assert left_over() == []


@pytest.mark.parametrize(
    ("inner", "weights", "words"),
    [
        (ENTRY.inner, WEIGHTS[::-1], r"toy: .*weights\.bin of priorsolve-toy==1\.0 has sha256 .*, expected "),
        (ENTRY.inner, WEIGHTS[1:], "has 10239 bytes, expected 10240"),
        ("priorsolve_toy/other.bin", WEIGHTS, "does not exist in what pip delivered"),
    ],
)
def test_the_wrong_file_is_not_used(wheels: Path, inner: str, weights: bytes, words: str) -> None:
    build_wheel(wheels, inner, weights)
    with pytest.raises(WrongFileError, match=words) as caught:
        fetch("toy")
    assert "\n" not in str(caught.value)
    assert left_over() == []


def test_no_network(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    with pytest.raises(DownloadError, match=r"No matching distribution found for priorsolve-toy==1\.0") as caught:
        fetch("toy")
    assert "\n" not in str(caught.value)
    assert str(cached_path("toy")) in str(caught.value)
    assert left_over() == []


def test_no_address_shows_its_password(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_python("echo 'ERROR: cannot reach https://me:secret@packages.example/simple'; exit 1", tmp_path, monkeypatch)
    with pytest.raises(DownloadError, match=r"cannot reach https://packages\.example") as caught:
        fetch("toy")
    assert "secret" not in str(caught.value)


def test_no_pip(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_python(f'exec "{sys.executable}" -I -S "$@"', tmp_path, monkeypatch)
    with pytest.raises(DownloadError, match="has no pip to download with; install it with 'python -m ensurepip'") as caught:
        fetch("toy")
    assert str(cached_path("toy")) in str(caught.value)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    with pytest.raises(DownloadError, match="cannot run"):
        fetch("toy")


def test_a_cache_that_cannot_be_written(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PRIORSOLVE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CacheError, match=r"cannot write to the cache folder .*set PRIORSOLVE_CACHE"):
        fetch("toy")


def test_a_full_disk_while_unpacking(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(CacheError, match=r"disk of the cache folder .* is full"):
        fetch("toy")
    assert left_over() == []


def test_a_full_disk_while_downloading(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_python(
        "echo 'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device'; exit 1", tmp_path, monkeypatch
    )
    with pytest.raises(CacheError, match=r"disk of the cache folder .* is full"):
        fetch("toy")


def test_an_interruption_stops_pip_and_leaves_nothing(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_python("exec sleep 60", tmp_path, monkeypatch)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch("toy", on_progress=interrupt)
    assert time.monotonic() - start < 30
    assert left_over() == []


def test_a_process_killed_while_it_downloads_spoils_nothing(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        use_python("exec sleep 5", tmp_path, patched)
        asleep = sys.executable
    script = (
        f"import sys; from priorsolve.priors import ZOO, fetch, Entry; ZOO['toy'] = {ENTRY!r}; sys.executable = {asleep!r}; fetch('toy')"
    )
    root = Path(__file__).resolve().parent.parent
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)})
    until = time.monotonic() + 60
    while not any((tmp_path / "cache").rglob("log")) and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait(30)
    assert not cached_path("toy").exists()
    assert fetch("toy").read_bytes() == WEIGHTS


def test_only_old_remains_are_swept(wheels: Path) -> None:
    fetch("toy")
    old, young = (cached_path("toy").with_name(f".fetch-{name}") for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    cached_path("toy").unlink()
    fetch("toy")
    assert (old.exists(), young.exists()) == (False, True)


def test_processes_at_once_all_get_the_file(wheels: Path, tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        from priorsolve.priors import ZOO, fetch, Entry
        ZOO["toy"] = {ENTRY!r}
        assert fetch("toy").stat().st_size == {len(WEIGHTS)}
    """)
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    running = [subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    for process in running:
        assert process.communicate(timeout=120)[1] == b""
        assert process.returncode == 0
    assert left_over() == ["weights.bin"]


def test_a_name_nobody_knows() -> None:
    for call in (fetch, load_prior):
        with pytest.raises(ValueError, match=r"no prior called 'digifce64'; did you mean 'digiface64'\? known names: "):
            call("digifce64")


def test_a_name_is_told_from_a_path(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("toy", Path("toy")):
        with pytest.raises(CheckpointError, match="no checkpoint format known"):
            load_prior(name)
    (tmp_path / "toy").mkdir()
    with pytest.raises(CheckpointError, match=r"^toy: cannot be read"):
        load_prior(Path("toy"))
    with pytest.raises(CheckpointError, match=r"netG\.pth: cannot be read"):
        load_prior("netG.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_prior(tmp_path / "toy")


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", lambda tmp: tmp / "priorsolve"),
        ("linux", None, lambda tmp: tmp / ".cache" / "priorsolve"),
        ("darwin", None, lambda tmp: tmp / "Library" / "Caches" / "priorsolve"),
        ("win32", "LOCALAPPDATA", lambda tmp: tmp / "priorsolve"),
    ],
)
def test_the_cache_lies_where_the_platform_keeps_caches(
    platform: str, variable: str | None, expected: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PRIORSOLVE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == expected(tmp_path)


def test_entries_are_complete() -> None:
    for name, entry in ZOO.items():
        assert entry.name == name
        assert "==" in entry.requirement
        assert all(len(inner.sha256) == 64 and inner.bytes > 0 for inner in entry.files)
        assert len(entry.image_shape) == 3
        assert entry.provenance.endswith(".")
        assert entry.note.endswith(".")
    frozen: Any = replace(ENTRY)
    with pytest.raises(AttributeError):
        frozen.name = "other"


def test_no_home_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORSOLVE_CACHE", "~nouser/x")
    with pytest.raises(CacheError, match=r"^no home folder to keep weights in; set PRIORSOLVE_CACHE to a folder that can be written$"):
        cache_folder()


def test_a_folder_in_the_place_of_the_file_is_told_before_the_download(wheels: Path) -> None:
    cached_path("toy").mkdir(parents=True)
    (wheels / "priorsolve_toy-1.0-py3-none-any.whl").unlink()
    with pytest.raises(CacheError, match=r"weights.bin is a folder where a file belongs; remove it$"):
        fetch("toy")


def test_a_source_archive_is_not_used(wheels: Path, tmp_path: Path) -> None:
    """Building from it would run its code."""
    (wheel,) = wheels.iterdir()
    wheel.unlink()
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: priorsolve-toy\nVersion: 1.0\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n',
        "own.py": f"open({str(tmp_path / 'ran')!r}, 'w').close()\n",
    }
    with tarfile.open(wheels / "priorsolve_toy-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"priorsolve_toy-1.0/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    with pytest.raises(DownloadError, match="pip could not download"):
        fetch("toy")
    assert not (tmp_path / "ran").exists()


def test_loading_tells_how_far_the_download_is(wheels: Path) -> None:
    told: list[tuple[int, int]] = []
    with pytest.raises(CheckpointError):  # the toy is none
        load_prior("toy", on_progress=lambda done, total: told.append((done, total)))
    assert told[-1:] == [(1000, 1000)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_quota_that_is_used_up_is_a_full_disk(number: int, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"^the disk of the cache folder .* is full; free some space"), cache_disk(tmp_path):
        raise OSError(number, os.strerror(number))
