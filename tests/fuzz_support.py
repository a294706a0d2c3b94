"""Run as a program: damages valid files thousands of ways and loads every one. A line for each file is what came of it, as JSON.

Arguments: seconds of a core to spend on a file, loads of it at most, a seed, the files.
The folder it runs in stays empty unless a file's code ran.
"""

from __future__ import annotations

import io
import json
import random
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import torch

from priorsolve.priors import CheckpointError, load_prior

SPLICES = [
    b"cos\nsystem\n(S'echo > ran'\ntR",
    b"\x8c\x02os\x8c\x06system\x93\x8c\x0aecho > ran\x85R",
    b"cbuiltins\neval\n(Vopen('ran','w')\ntR",
    b"cbuiltins\nset\n",
    b"ctorch\nSize\n",
    b"\x82\x01",
    b"\x84\xff\xff\xff\x7f",
    b"r\xff\xff\xff\x7f",
    b"j\xff\xff\xff\x7f",
    b"\x8e\xff\xff\xff\xff\x00\x00\x00\x00",
    b"\x96\xff\xff\xff\xff\xff\x00\x00\x00",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"J\xff\xff\xff\x7f",
    b"(" * 600,
    b"]" * 600,
    b"\x85" * 600,
    b"h\x00h\x00\x86\x94" * 40,
    b"b",
    b"}sb",
    b"\x81",
    b"\x92",
    b"R",
    b"Q",
    b"2",
    b"0",
    b"1",
    b".",
    b"N",
    b")",
    b"u",
    b"e",
]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four faults."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, way = rng.randrange(len(data) + 1), rng.randrange(7)
        span = rng.choice((1, 2, 8, 40, 400))
        if way == 0 and data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        elif way == 1:
            data = data[: max(1, at)]
        elif way == 2:
            data = data[:at] + rng.choice(SPLICES) + data[at:]
        elif way == 3:
            data = data[:at] + data[at + span :]
        elif way == 4:
            there = rng.randrange(len(data) + 1)
            data = data[:at] + data[there : there + span] + data[at:]
        elif way == 5:
            data = data[:at] + rng.choice((b"\xff", b"\x00", b"\x7f")) * rng.choice((1, 2, 4, 8)) + data[at + 4 :]
        else:
            data = data[:at] + rng.randbytes(rng.choice((1, 4))) + data[at + 1 :]
    return data


def faulty(whole: bytes, rng: random.Random) -> bytes:
    """The file damaged as it lies there; in half of all zip files the pickle inside, its checksum put right."""
    if not whole.startswith(b"PK") or rng.random() < 0.5:
        return damaged(whole, rng)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, damaged(data, rng) if name.endswith("data.pkl") else data)
    return out.getvalue()


def main(seconds: float, loads: int, seed: int, paths: list[str]) -> None:
    """Print, file by file, counts of outcomes, faults that got through, the slowest load and how far the process has grown since all whole
    files were loaded."""
    torch.set_num_threads(1)
    for path in paths:
        load_prior(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    for path in paths:
        fuzzed(Path(path).read_bytes(), seconds, loads, random.Random(seed), before)


def fuzzed(whole: bytes, seconds: float, loads: int, rng: random.Random, before: int) -> None:
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    slowest, start = 0.0, time.process_time()  # as much is tried on a busy machine
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "f"
        while sum(outcomes.values()) < loads and time.process_time() - start < seconds:
            target.write_bytes(faulty(whole, rng))
            began = time.process_time()
            try:
                load_prior(target)
                outcomes["loaded"] += 1
            except CheckpointError as error:
                outcomes["refused"] += 1
                if "\n" in str(error) or len(str(error)) > 1500:
                    faults.append(f"load {sum(outcomes.values())}: no short line: {str(error)[:200]}")
            except BaseException as error:  # noqa: BLE001 - anything else is what this looks for
                outcomes["fault"] += 1
                faults.append(f"load {sum(outcomes.values())}: {type(error).__name__}: {str(error)[:200]}")
            slowest = max(slowest, time.process_time() - began)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(
        json.dumps({**outcomes, "faults": faults[:10], "slowest": slowest, "grown_kib": grown, "seconds": time.process_time() - start})
        + "\n"
    )


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
