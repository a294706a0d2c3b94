"""Records survive the disk, and what is not whole is not done."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from priorsolve.files import WriteError, together, write_atomically
from priorsolve.photos.identity import Identity
from priorsolve.photos.names import Photo
from priorsolve.run.places import FOLDERS
from priorsolve.run.records import HISTORY, Record, pending, read_record, read_records, record_path, thinned, write_record

text = st.text(st.characters(exclude_categories=[]), max_size=20)  # lone surrogates too: what an undecodable file name becomes
number = st.floats(allow_nan=False)
place = st.none() | st.builds("{}/{}".format, st.sampled_from(FOLDERS), text.filter(lambda name: ".." not in name and name.strip("./")))
size = st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999))
record = st.builds(
    Record,
    name=st.from_regex(r"\A[a-z]{1,9}(/[a-z]{1,9})?\.png\Z"),
    status=st.sampled_from(["done", "failed"]),
    fingerprint=text,
    reason=text,
    seed=st.none() | st.integers(0, 2**64 - 1),
    misfit=st.none() | number,
    residual=st.none() | number,
    steps=st.integers(0, 10**6),
    stopped=text,
    metrics=st.dictionaries(text, number, max_size=3),
    notes=st.lists(text, max_size=3).map(tuple),
    input_size=size,
    output_size=size,
    seconds=number,
    diagnosis=st.lists(text, max_size=3).map(tuple),
    image=place,
    spread=place,
    measurement=place,
    original=place,
    versions=st.dictionaries(text, text, max_size=3),
    dtype=text,
    recipe=text,
    task=text,
    file=st.none() | st.builds(Identity, st.integers(0, 2**50), st.integers(0, 2**63), text),
    history=st.lists(number, max_size=3).map(tuple),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(record)
def test_a_record_comes_back_as_it_was(tmp_path: Path, record: Record) -> None:
    path = write_record(tmp_path, record)
    assert path == record_path(tmp_path, record.name)
    assert read_record(path) == record
    json.loads(path.read_text(), parse_constant=pytest.fail)  # plain JSON: no NaN, no Infinity


def test_nan_comes_back_and_unknown_fields_are_skipped(tmp_path: Path) -> None:
    path = write_record(tmp_path, Record("a.png", "done", "f", misfit=math.nan))
    read = read_record(path)
    assert read is not None
    assert read.misfit is not None
    assert math.isnan(read.misfit)
    path.write_text(json.dumps({**json.loads(path.read_text()), "from_the_future": [1]}))
    assert read_record(path) is not None
    assert [record.name for record in read_records(tmp_path)] == ["a.png"]


def test_an_old_record_has_neither_history_nor_residual(tmp_path: Path) -> None:
    path = write_record(tmp_path, Record("a.png", "done", "f", residual=0.5, history=(1.0, 0.5)))
    old = {key: value for key, value in json.loads(path.read_text()).items() if key not in ("history", "residual")}
    path.write_text(json.dumps(old))
    assert read_record(path) == Record("a.png", "done", "f")


def test_a_long_history_keeps_its_ends() -> None:
    assert thinned([3.0, 1.0]) == (3.0, 1.0)
    long = thinned(range(1001))
    assert (len(long), long[0], long[-1]) == (HISTORY, 0, 1000)
    assert {b - a for a, b in itertools.pairwise(long)} <= {20, 21}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"name": "a.png", "status": "done"}',
        '{"name": 1, "status": "done", "fingerprint": "f"}',
        '{"name": "a.png", "status": "half", "fingerprint": "f"}',
        '{"name": "a.png", "status": "done", "fingerprint": "f", "metrics": 3}',
        '{"name": "a.png", "status": "done", "fingerprint": "f", "misfit": true}',
        '{"name": "a.png", "status": "done", "fingerprint": "f", "seconds": "soon"}',
        '{"name": "a.png", "status": "done", "fingerprint": "f", "metrics": {"psnr": 1' + "0" * 400 + "}}",
        '{"name": "a.png", "status": "done", "fingerprint": "f", "steps": "3"}',
        '{"name": "a.png", "status": "done", "fingerprint": "f", "input_size": [64]}',
        "\xff",
    ],
)
def test_damaged_counts_as_missing(tmp_path: Path, content: Any) -> None:
    path = record_path(tmp_path, "a.png")
    assert read_record(path) is None
    write_atomically(path, content.encode("latin-1"))
    assert read_record(path) is None
    assert list(read_records(tmp_path)) == []


@pytest.mark.parametrize("place", ["../mine.png", "images/../../mine.png", "records/a.png", "mine.png", "images", "", "/mine.png"])
@pytest.mark.parametrize("kind", ["image", "spread", "measurement", "original", "codes"])
def test_a_record_that_leads_out_of_the_folder_is_damaged(tmp_path: Path, kind: str, place: str) -> None:
    """Whoever was sent the folder has one file read, or recoloured by an album, that is no result."""
    (tmp_path / "mine.png").write_bytes(b"mine")
    place = str(tmp_path / "mine.png") if place.startswith("/") else place
    write_atomically(tmp_path / "out/images/a.png", b"x")
    places: dict[str, Any] = {"image": "images/a.png", kind: place}
    path = write_record(tmp_path / "out", Record("a.png", "done", "f", **places))
    assert read_record(path) is None
    if kind in ("image", "codes"):  # what a start asks
        assert pending([Photo(tmp_path / "a.png", "a.png")], tmp_path / "out", lambda photo: "f")[1].total() == 0


def test_records_are_read_sorted_without_half_written_ones(tmp_path: Path) -> None:
    assert list(read_records(tmp_path)) == []
    for name in ("b.png", "a/z.png", "a.png"):
        write_record(tmp_path, Record(name, "done", "f"))
    whole = record_path(tmp_path, "b.png")
    for hidden in (".half.json", "._b.png.json"):  # as archivers and macOS leave beside files
        whole.with_name(hidden).write_bytes(whole.read_bytes())
    write_atomically(whole.with_name("._a.png.json"), b"\0\5\x16\7")
    assert [record.name for record in read_records(tmp_path)] == ["a.png", "a/z.png", "b.png"]


def test_pending(tmp_path: Path) -> None:
    names = ["new", "done", "gone", "failed", "other", "damaged"]
    photos = [Photo(tmp_path / name, name) for name in names]
    write_atomically(tmp_path / "images" / "done.png", b"x")
    write_record(tmp_path, Record("done", "done", "now", image="images/done.png"))
    write_record(tmp_path, Record("gone", "done", "now", image="images/gone.png"))
    write_record(tmp_path, Record("failed", "failed", "now", reason="because"))
    write_record(tmp_path, Record("other", "done", "before", image="images/done.png"))
    write_atomically(record_path(tmp_path, "damaged"), b"{")

    def todo(**options: bool) -> list[str]:
        left, stands = pending(photos, tmp_path, lambda photo: "now", **options)
        assert len(left) + stands.total() == len(photos)
        return [photo.name for photo in left]

    assert todo() == ["new", "gone", "other", "damaged"]
    assert todo(retry_failed=True) == ["new", "gone", "failed", "other", "damaged"]
    assert todo(overwrite=True) == names


def test_no_record_is_too_long_or_too_strangely_named_to_stand(tmp_path: Path) -> None:
    names = ["long", "bytes-\udcff", "cut"]
    for name in names:
        write_atomically(tmp_path / "images" / name, b"x")
        write_record(tmp_path, Record(name, "done", "now", image=f"images/{name}", notes=("n" * 100_000,) if name == "long" else ()))
    path = record_path(tmp_path, "cut")
    path.write_bytes(path.read_bytes()[:-4])  # all that is asked of it is there, but it is no whole record
    left, stands = pending([Photo(tmp_path / name, name) for name in names], tmp_path, lambda photo: "now")
    assert ([photo.name for photo in left], stands["done"]) == (["cut"], 2)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_is_gone_before_what_it_tells_of_is_another(tmp_path: Path) -> None:
    """Where the second of two pictures cannot be put in its place, a record of before would tell of the first one wrongly."""
    old, first, second = (tmp_path / name for name in ("a.json", "a.png", "b.png"))
    old.write_text("of before")
    second.mkdir()

    def replaced() -> None:
        with together(instead_of=old) as write:
            for path in (first, second, old):
                write(path, b"new")
            assert old.read_text() == "of before"

    with pytest.raises(WriteError):
        replaced()
    assert first.read_bytes() == b"new"
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png"}
