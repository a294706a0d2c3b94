"""Who is at work in an output folder: every run leaves a claim there, so that no two do the same photos at once."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from priorsolve.files import write_atomically

Shard = tuple[int, int]

PREFIX, SUFFIX = ".run-", ".json"
BEAT_SECONDS, STALE_SECONDS = 20.0, 120.0
"""How often a run renews its claim, and how old a claim of another machine must be to count as a dead run's."""

_held: set[str] = set()
"""The files of the claims that this process holds. One that it could not remove is not among them."""


class FolderBusyError(ValueError):
    """Another run is at work on the same photos in the same folder."""


@dataclass(frozen=True)
class Claim:
    """What a run says of itself. Without a shard it does all photos; `machine` tells hosts, boots and containers apart."""

    host: str
    machine: str
    pid: int
    born: str
    """When the process began, as the system counts: a later process of the same number is another one."""
    since: float
    command: str
    shard: Shard | None = None

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {since} ({self.command})"

    def meets(self, other: Claim) -> bool:
        """Whether the two may do the same photo: shards of one count share none."""
        return self.shard is None or other.shard is None or self.shard[1] != other.shard[1] or self.shard[0] == other.shard[0]


def own_claim(shard: Shard | None) -> Claim:
    """This process's claim."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return Claim(platform.node(), _machine(), os.getpid(), _born(os.getpid()) or "", time.time(), command[:200], shard)


def refuse_where_busy(out: Path, shard: Shard | None) -> None:
    """Raise FolderBusyError where a run is at work on photos that a run of this shard would do."""
    _refuse(out, own_claim(shard), at_work(out))


def at_work(out: Path) -> list[tuple[Claim, Path]]:
    """The claims of all runs that live, and the files that hold them."""
    return [(claim, path) for claim, path in _claims(out) if _alive(claim, path)]


@contextlib.contextmanager
def claimed(out: Path, shard: Shard | None, tidy: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the folder's photos, or those of the shard. Claims of dead runs are removed.

    `tidy` is called where no other run is at work there, and before any can begin.

    Raises FolderBusyError as `refuse_where_busy` does.
    """
    claim, path = own_claim(shard), out / f"{PREFIX}{uuid.uuid4().hex[:16]}{SUFFIX}"
    _held.add(path.name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(out):
            write_claim(path, claim)
            others = []
            for other, place in _claims(out):
                if place != path and _alive(other, place):
                    others.append((other, place))
                elif place != path:
                    place.unlink(missing_ok=True)
            _refuse(out, claim, others)
            if not others:
                tidy()
        with _renewed(path, claim):
            yield
    finally:
        _held.discard(path.name)
        with contextlib.suppress(OSError):  # a disk that is gone: what is left counts as dead
            path.unlink(missing_ok=True)


def write_claim(path: Path, claim: Claim) -> None:
    """Write it, or renew it: its age is the file's."""
    write_atomically(path, json.dumps(asdict(claim), indent=2).encode() + b"\n")


def _refuse(out: Path, claim: Claim, others: list[tuple[Claim, Path]]) -> None:
    for other, path in others:
        if not claim.meets(other):
            continue
        if (other.machine, other.pid) == (claim.machine, claim.pid):
            who = "a run that this process itself began earlier does the same photos, and has not ended"
            way_out = "take the rest of its records, or call their close(), or choose another output folder"
        else:
            who = f"{other} does the same photos"
            way_out = (
                "wait for it, choose another output folder (--out), give each `restore` a shard of its own (--shard), or remove its claim "
                f"{path.name} from the folder if you know that run is dead"
            )
        raise FolderBusyError(f"output folder {out} is in use: {who}; {way_out}")


def _claims(out: Path) -> list[tuple[Claim, Path]]:
    """All claims that can be read. They are written in one piece, so one that cannot is nobody's."""
    found = []
    for path in out.glob(f"{PREFIX}*{SUFFIX}"):
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            claim = Claim(**json.loads(path.read_bytes()))
            found.append((replace(claim, shard=claim.shard and (int(claim.shard[0]), int(claim.shard[1]))), path))
    return found


def _alive(claim: Claim, path: Path) -> bool:
    """On this machine the process itself tells; of another one only the claim's age."""
    if claim.machine == _machine() and os.name == "posix":
        return _born(claim.pid) == claim.born and (claim.pid != os.getpid() or path.name in _held)
    with contextlib.suppress(OSError):
        # either way: a time to come is of a clock that was wrong, or of a copied folder, and nobody renews it
        return abs(_now(path.parent) - path.stat().st_mtime) < STALE_SECONDS
    return False  # it was withdrawn meanwhile


def _now(folder: Path) -> float:
    """The time by the folder's own clock, which on a file server is not ours."""
    probe = folder / f"{PREFIX}{uuid.uuid4().hex[:16]}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _machine() -> str:
    """The host, and on Linux its boot and the container: process numbers mean something only within all three."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), str(Path("/proc/self/ns/pid").readlink())]
    return " ".join(parts)


def _born(pid: int) -> str | None:
    """When the process began, an empty text where the system does not say, None when there is none."""
    if os.name != "posix":
        return ""  # the signal 0, which asks elsewhere, is Ctrl-C on Windows, for all that share the console
    with contextlib.suppress(PermissionError):  # another user's, so it is there
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
    with contextlib.suppress(OSError, IndexError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else fields[18]
    return ""


@contextlib.contextmanager
def _one_at_a_time(out: Path) -> Iterator[None]:
    """Keep others from looking around while we do. Where that is not to be had, two that start at once may refuse each other."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(out, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # the disk knows no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _renewed(path: Path, claim: Claim) -> Iterator[None]:
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):  # what refuses this refuses the photos too, and is told there
                write_claim(path, claim)

    beating = threading.Thread(target=beat, name="claim", daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
