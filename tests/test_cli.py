"""The command line: exit codes, one-line errors, what goes to which stream."""

from __future__ import annotations

import importlib.metadata
import io
import json
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
import run_support as run
import torch

import priorsolve.cli
from priorsolve.cli import main
from priorsolve.command.catalogue import catalogue
from priorsolve.command.console import RunDisplay
from priorsolve.command.output import warning_plainly
from priorsolve.priors import cached_path, load_prior
from priorsolve.run.records import Record

HERE = Path(__file__).resolve().parent.parent


def restore(tmp_path: Path, *more: str) -> list[str]:
    return ["restore", run.recipe_file(tmp_path), str(tmp_path / "in"), "--out", str(tmp_path / "out"), *more]


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nope.yaml"], ["nope.yaml", "no such recipe", "path of a .yaml file"]),
        (["{broken}"], ["broken.yaml", "not valid YAML", "line 1"]),
        (["/nowhere/x.yaml"], ["no such recipe; give a built-in name"]),
        (["{recipe}", "--set", "solver={latent: {lr: 0,1}}"], ["line 1: 1 stands here alone; a decimal comma? write a point"]),
        (["{recipe}", "--set", "solver={latent: {loss: {l1: {weight: 0}}}}"], ["solver[0].latent.loss: every weight is 0"]),
        (["{recipe}", "--out", ""], ["'--out'", "it is empty; write . for the working folder"]),
        (["{recipe}", ""], ["PHOTOS", "it is empty; write . for the working folder"]),
        (["{recipe}", "--set", "sovler=1"], ["sovler", "did you mean 'solver'"]),
        (["{recipe}", "--set", "solver.steps=ten"], ["steps", "valid integer", "'ten'"]),
        (["{recipe}", "--set", "operator=blurr"], ["operator[0]", "'blurr'"]),
        (["{recipe}", "--set", "prior=digiface"], ["'digiface'", "did you mean 'digiface64'"]),
        (["{recipe}", "--set", "prior=none.pth"], ["none.pth", "No such file"]),
        (["{recipe}", "--set", "solver=latnt"], ["solver[0]", "'latnt'", "did you mean 'latent'"]),
        (["{recipe}", "--set", "operator.mask={file: wide.png}"], ["wide.png is 64×32", "picture is 64×64"]),
        (["{recipe}", "--set", "operator={downsample: {factor: 7}}"], ["factor=7", "divisible by 7", "64, 64"]),
        (["{recipe}", "--set", "solver.steps=-1"], ["steps is -1", "at least 0"]),
        (["{recipe}", "nowhere"], ["no such file or folder: nowhere"]),
        (["{recipe}", "empty"], ["no photos in empty"]),
        (["{recipe}", "--out", "wide.png/out"], ["output folder wide.png/out", "is a file", "--out"]),
        (["{recipe}", "--device", "tpu9"], ["'tpu9' is unknown", "use auto, cpu"]),
        (["{recipe}", "--device", ""], ["device '' is unknown", "use auto, cpu"]),
        (["", "wide.png"], ["the recipe is ''; give a built-in name"]),
        (["{recipe}", "--set", f"operator.mask={{file: {'m' * 300}}}"], ["mask", "File name too long"]),
        (["{recipe}", "--batch-size", "many"], ["--batch-size", "integer"]),
        (["{recipe}", "--seed", "abc"], ["'--seed'", " a valid integer; see priorsolve restore --help"]),
        (["{recipe}", "--batch-size", "0"], ["batch size is 0", "at least 1"]),
        (["{recipe}", "--shard", "3"], ["--shard 3", "i/n"]),
        (["{recipe}", "--shard", "3/3"], ["shard 3/3", "from 0"]),
        (["{recipe}", "--shard", "²/³"], ["--shard ²/³", "i/n"]),
        (["{recipe}", "--shard", f"0/{'1' * 5000}"], ["--shard 0/1", "i/n"]),
        (["{recipe}", "-out", "o2"], ["-out: a long option has two dashes; write --out"]),
        (["-degrade", "{recipe}"], ["write --degrade"]),
        (["{recipe}", "-limit=3"], ["write --limit=3"]),
        (["{recipe}", "-help"], ["write --help"]),
        (["{recipe}", "--", "-out"], ["no such file or folder: -out"]),
        (["{recipe}", "--unknown"], ["--unknown", "see priorsolve restore --help"]),
        ([], ["RECIPE", "see priorsolve restore --help"]),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: Sequence[str], told: Sequence[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    run.picture(0, 32, 64).save("wide.png")
    Path("broken.yaml").write_text("operator: [gray")
    names = {"recipe": run.recipe_file(tmp_path), "broken": "broken.yaml"}
    before = sorted(tmp_path.rglob("*"))
    assert main(["restore", *(argument.format(**names) if argument[:1] == "{" else argument for argument in arguments)]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert all(words in said.err for words in told), said.err
    assert sorted(tmp_path.rglob("*")) == before  # nothing half-written


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 1)
    assert main(restore(tmp_path, "--device", "cuda")) == 2
    assert capfd.readouterr().err == "priorsolve: device 'cuda': this machine has no usable CUDA GPU; use device cpu (--device cpu)\n"


@pytest.mark.usefixtures("digiface64")
def test_the_version_and_the_short_word_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"priorsolve {importlib.metadata.version('priorsolve')}\n"
    for words in (["-h"], ["restore", "-h"]):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "Usage: priorsolve" in said
        assert "[[" not in said


def test_a_prior_has_nothing_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "digiface64", "--set", "x=1"]) == 2
    assert "--set changes a recipe, and digiface64 is a prior; leave it out" in capsys.readouterr().err


def test_a_command_that_is_none_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask"]) == 2
    assert capsys.readouterr().err.endswith("Did you mean 'masks'? see priorsolve --help\n")


@pytest.mark.usefixtures("digiface64")
def test_where_nothing_was_to_do_nothing_is_to_see(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 1)
    assert main(restore(tmp_path, "--limit", "0")) == 0
    assert capfd.readouterr().err == "0 restored in 0 s\n"
    assert not (tmp_path / "out").exists()


def test_exit_codes_and_streams(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 1)
    assert main(restore(tmp_path, "--quiet")) == 0
    assert capfd.readouterr() == ("", "")
    (tmp_path / "in" / "odd\n[red]:x:.png").write_text("no picture")
    assert main(restore(tmp_path, "--json")) == 1
    said = capfd.readouterr()
    assert [json.loads(line)["status"] for line in said.out.splitlines()] == ["failed"]
    assert said.err == ""
    assert main(restore(tmp_path)) == 1  # it still stands as failed
    said = capfd.readouterr()
    assert "1 done before, 1 failed before (--retry-failed tries again)" in said.err
    assert main(restore(tmp_path, "--retry-failed")) == 1
    assert "failed: odd [red]:x:.png: not an image" in capfd.readouterr().err
    assert {"sheet.png", "results.parquet", "recipe.yaml"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert main(["report", str(tmp_path / "out")]) == 0


@pytest.mark.usefixtures("digiface64")
def test_what_is_warned_of_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    weights = cached_path("digiface64")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PRIORSOLVE_CACHE", str(tmp_path / "file"))
    run.photos(tmp_path / "in", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        solver = "solver=[{latent: {begin_at: regressed, bank: 2, steps: 0}}]"
        assert main(restore(tmp_path, "--set", f"prior={weights}", "--set", solver)) == 0
    said = [line for line in capfd.readouterr().err.splitlines() if "cannot write to the cache folder" in line]
    assert [line.partition(": ")[0] for line in said] == ["warning"]
    assert said[0].endswith("until then every run draws 2 pictures of its own")


def test_what_others_warn_of_is_told_as_they_tell_it_and_so_is_what_we_do_afterwards() -> None:
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *place: told.append(f"{category.__name__}: {message}")
        with warning_plainly():
            warnings.warn("of another library", DeprecationWarning, stacklevel=1)
        warnings.warn_explicit("of ours", UserWarning, priorsolve.cli.__file__, 1)
    assert told == ["DeprecationWarning: of another library", "UserWarning: of ours"]


def test_a_closed_log_costs_nothing(tmp_path: Path) -> None:
    """As `2>&-` closes it: there is no stream to write to."""
    code = "import sys; from priorsolve.cli import main; assert sys.stderr is None; sys.exit(main(['list', 'recipes']))"
    said = subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, cwd=HERE)
    assert b"inpaint" in said.stdout


@pytest.mark.usefixtures("digiface64")
def test_json_has_no_infinity(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 1)
    assert main(restore(tmp_path, "--json", "--degrade", "--set", "operator=identity")) == 0
    (line,) = capfd.readouterr().out.splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["metrics"]["ssim"] > 0.99
    RunDisplay(1, quiet=True, as_json=True).record(Record("a.png", "done", "f", metrics={"psnr": math.inf}, history=(math.inf, 0.5)))
    said = json.loads(capfd.readouterr().out, parse_constant=pytest.fail)
    assert (said["metrics"], said["history"]) == ({"psnr": "inf"}, ["inf", 0.5])


def test_check(tmp_path: Path, capfd: pytest.CaptureFixture[str], shared: Path) -> None:
    assert main(["check", str(shared / "reference" / "07_dcgan_plain" / "netG.pth"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["family"] == "DCGAN"
    cases = ("02_torch_zip_os_system", "10_truncated_torch_zip", "24_html_page_named_pkl", "29_torchscript_archive")
    hostile = [
        path for case in cases for path in (shared / "reference" / "09_hostile_and_broken" / case).iterdir() if path.suffix != ".json"
    ]
    assert len(hostile) >= len(cases)
    for path in [*hostile, tmp_path / "missing.pth"]:
        code = main(["check", str(path)])
        said = capfd.readouterr()
        assert (code, said.out, said.err.count("\n")) == (2, "", 1), path
        assert path.name in said.err


def test_lists_and_schema(capfd: pytest.CaptureFixture[str]) -> None:
    for what, name in {"recipes": "inpaint", "operators": "mask", "noises": "poisson", "solvers": "latent", "priors": "digiface64",
                       "losses": "huber", "metrics": "psnr"}.items():  # fmt: skip
        assert main(["list", what]) == 0
        assert name in capfd.readouterr().out
    assert main(["schema"]) == 0
    assert json.loads(capfd.readouterr().out)["$schema"]
    assert main(["list", "priers"]) == 2
    assert "did you mean 'priors'" in capfd.readouterr().err
    assert main(["list"]) == 2
    assert capfd.readouterr().err == "priorsolve: Missing argument 'WHAT'; see priorsolve list --help\n"  # which names the choices
    assert main(["lists"]) == 2
    assert capfd.readouterr().err.endswith(" see priorsolve --help\n")


@pytest.mark.parametrize("what", ["operators", "noises", "solvers", "losses"])
def test_a_list_says_whole_sentences(what: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["list", what]) == 0
    assert [line for line in capfd.readouterr().out.splitlines() if not line.endswith((".", ":", ")"))] == []


def test_help_is_quick_and_needs_no_torch() -> None:
    code = "import sys, time; t = time.perf_counter(); from priorsolve.cli import main; main(['--help'])\n"
    code += "print(time.process_time(), 'torch' in sys.modules, file=sys.stderr)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HERE)
    seconds, torch_there = said.stderr.split()
    assert "restore" in said.stdout
    assert torch_there == "False"
    assert float(seconds) < 1.5  # of one core, on a busy machine; it takes 0.3


def test_a_run_loads_what_it_needs() -> None:
    code = "import sys; from priorsolve.cli import main; main(['restore', 'colorize', 'nowhere', '--out', 'nowhere'])\n"
    code += "print(sorted({'torch', 'kornia', 'scipy.optimize', 'scipy.ndimage', 'skimage.restoration', 'lpips'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HERE)
    assert "no such file or folder: nowhere" in said.stderr
    assert said.stdout == "['torch']\n"


def test_a_reader_that_has_seen_enough() -> None:
    process = run.command("list", "operators")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141  # 1 would be a failed photo


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.usefixtures("digiface64")
def test_an_output_that_takes_nothing_is_named_and_what_is_done_is_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said `[Errno 28] No space left on device`, of which disk nobody knew."""
    run.photos(tmp_path / "in", 2)
    degrade = ["degrade", run.recipe_file(tmp_path), str(tmp_path / "in"), "--out", str(tmp_path / "y"), "--json"]
    for arguments in (restore(tmp_path, "--json", "--batch-size", "1"), degrade, ["list", "recipes"], ["schema"]):
        with monkeypatch.context() as patch, io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True) as full:
            patch.setattr(sys, "stdout", full)
            assert main(arguments) == 2
        assert capfd.readouterr() == ("", "priorsolve: standard output: No space left on device\n")
    kept = run.records(tmp_path / "out")
    assert kept["00.png"]["status"] == "done"
    assert main(restore(tmp_path, "--json")) == 0
    told = [json.loads(line)["name"] for line in capfd.readouterr().out.splitlines()]
    assert [*kept, *told] == ["00.png", "01.png"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.usefixtures("digiface64")
def test_a_log_that_takes_nothing_costs_no_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.photos(tmp_path / "in", 3) / "00.png").write_text("no picture")
    with io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(restore(tmp_path, "--batch-size", "1")) == 1
        assert sys.stderr is full
    records = run.records(tmp_path / "out")
    assert {name: record["status"] for name, record in records.items()} == {"00.png": "failed", "01.png": "done", "02.png": "done"}
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_where_nobody_can_be_told_why_the_exit_code_tells_the_same() -> None:
    mistaken = [sys.executable, "-m", "priorsolve", "restore", "nowhere"]
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}  # what is kept back is written at the end
    with Path("/dev/full").open("wb") as full:
        assert subprocess.run(mistaken, cwd=HERE, stderr=full, env=buffered, check=False).returncode == 2
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        assert subprocess.run(mistaken, cwd=HERE, stderr=gone, check=False).returncode == 141


def test_convert_writes_a_file_that_draws_the_same(tmp_path: Path, capfd: pytest.CaptureFixture[str], shared: Path) -> None:
    source, made = shared / "reference" / "07_dcgan_plain" / "netG.pth", tmp_path / "made.safetensors"
    assert main(["convert", str(source), str(made), "--quiet"]) == 0
    before, after = load_prior(source), load_prior(made)
    codes = before.sample(2, torch.Generator().manual_seed(0))
    assert torch.equal(before.decode(codes), after.decode(codes))
    assert main(["convert", str(source), str(tmp_path / "made.pth")]) == 2
    assert "must end in .safetensors" in capfd.readouterr().err
    made.write_bytes(b"somebody's own")
    assert main(["convert", str(source), str(made)]) == 2
    assert capfd.readouterr().err == f"priorsolve: {made} is there; --overwrite has it made anew, or give another name\n"
    assert made.read_bytes() == b"somebody's own"
    assert main(["convert", str(source), str(made), "--overwrite", "--quiet"]) == 0
    assert torch.equal(before.decode(codes), load_prior(made).decode(codes))
    (tmp_path / "text.txt").write_text("no folder")
    assert main(["convert", str(source), str(tmp_path / "text.txt" / "x.safetensors")]) == 2
    assert f"x.safetensors cannot be written: {tmp_path / 'text.txt'} is a file; give another name" in capfd.readouterr().err


def test_no_name_at_all_fetches_no_prior(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("priorsolve.priors.download._download", run.broken)
    assert main(["fetch", ""]) == 2
    assert "no prior called ''; known names: digiface64" in capfd.readouterr().err


def test_the_list_of_metrics_says_which_way_is_better() -> None:
    listed = {name: line.partition(" is better, ")[0] for name, line in catalogue("metrics").items()}
    assert listed["psnr"] == listed["ssim"] == "higher"
    assert listed["lpips"] == "lower"
