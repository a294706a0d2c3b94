"""Recipes: what is accepted, and that every mistake is told by its place and the way out."""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import run_support as run
import torch
from prior_support import made

from priorsolve.command.checks import check_recipe
from priorsolve.recipe.build import build_operators
from priorsolve.recipe.components import RecipeError
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.schema import recipe_schema
from priorsolve.recipe.sources import builtin_recipes, find_recipe
from priorsolve.recipe.templates import photo_seed
from priorsolve.recipe.yamlfile import parse
from priorsolve.run.restoration import Options, equip, restore

GOOD = {"operator": "gray", "prior": "digiface64", "solver": "latent"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("solver: [", "line 9: "),
        ("seed: 1\nseed: 2", "line 9: the key 'seed' stands here twice"),
        ("? [a]\n: 1", "line 8: a key is a word, not a list or braces"),
        ("elsewhere: {? {a: 1} : 2}", "line 8: a key is a word, not a list or braces"),
        ("frame: {faces: fail}", "recipe.yaml:8: frame.faces: should be its settings in braces, such as {missing: fail}, got 'fail'"),
        ("frame: {tiles: 3}", "recipe.yaml:8: frame.tiles: should be its settings in braces"),
        ("frame: {faces: []}", "recipe.yaml:8: frame.faces: should be its settings in braces, got []"),
        ("sovler: 1", "recipe.yaml:8: sovler: unknown key; did you mean 'solver'?"),
        ("seed: one", "recipe.yaml:8: seed: should be a valid integer, got 'one'"),
        ("samples: 1000000", "recipe.yaml:8: samples: should be less than or equal to 10000, got 1000000"),
        ("seed: -1", "recipe.yaml:8: seed: should be greater than or equal to 0, got -1"),
        ("seed: 18446744073709551616", "recipe.yaml:8: seed: should be less than 18446744073709551616"),
        ("seed: 1.5", "recipe.yaml:8: seed: should be a valid integer, got 1.5"),
        ("task: [a]", "recipe.yaml:8: task: should be a valid string, got ['a']"),
        ("metrics: [pnsr]", "recipe.yaml:8: metrics: no metric is called 'pnsr'; did you mean 'psnr'?"),
        ("noise: {gaussian: {sigma: x}}", "recipe.yaml:8: noise[0].gaussian.sigma: should be a valid number, got 'x'"),
        ("noise: {gaussian: {sigma: '{seed}'}}", "noise[0].gaussian.sigma: should be a valid number, got '{seed}'"),
        ("noise: {gausian: {sigma: 1}}", "recipe.yaml:8: noise[0]: no noise is called 'gausian'; did you mean 'gaussian'?"),
        ("noise: [{gaussian: {sigma: 1}, poisson: {}}]", "recipe.yaml:8: noise[0]: should be one name with its arguments, such as "
         "`gaussian: {sigma: 0.02}`; begin each component with a dash, got"),
        ("noise: 0.02", "recipe.yaml:8: noise[0]: should be one name with its arguments, such as `gaussian: {sigma: 0.02}`, got 0.02"),
        ("surrogate: [{}]", "8: surrogate[0]: should be one name with its arguments, such as `gray: {weights: rec601}`, got {}"),
        ("a: &a [*a]", "holds itself"),
        ("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b]\n"
         "d: &d [*c, *c, *c, *c, *c, *c]\ne: [*d, *d, *d, *d, *d, *d]", "more than 10000 values"),
        ("task: 2024-13-45", "month must be in 1..12"),
        ("\x00", "not valid YAML"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_with_their_place(tmp_path: Path, change: str, error: str) -> None:
    path = run.recipe_file(tmp_path, run.QUICK.rstrip() + "\n" + change + "\n")
    with pytest.raises(RecipeError) as raised:
        Recipe.load(path)
    assert error in str(raised.value)
    assert str(raised.value).startswith(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("mask:", "maks:", ":2: operator[0]: no operator is called 'maks'; did you mean 'mask'?"),
        ("boxes:", "boxs:", ":2: operator[0].mask.boxs: unknown key; did you mean 'boxes'?"),
        ("latent:", "laten:", ":5: solver[0]: no solver is called 'laten'; did you mean 'latent'?"),
        ("latent: {", "latent: {}\n    pulse: {", ":5: solver[0]: should be one name with its arguments, such as `latent: {steps: 50}`; "),
        ("steps: 2", "steps: two", ":5: solver[0].latent.steps: should be a valid integer, got 'two'"),
        ("steps: 2", "steps: true", ":5: solver[0].latent.steps: should be a valid integer, got True"),
        ("solver:", "slover:", ":4: slover: unknown key; did you mean 'solver'?"),
        ("consistency: true", "consistncy: true", ":7: output.consistncy: unknown key; did you mean 'consistency'?"),
        ("consistency: true", "consistency: maybe", ":7: output.consistency: should be true or false, got 'maybe'"),
        ("prior: digiface64\n", "", ": prior: this key is required"),
        ("  - latent: {steps: 2, restarts: 1, candidates: 2}", "  []", ": solver: the list is empty"),
        ("mask: {boxes: [[0.25, 0.25, 0.75, 0.75]]}", "gaussian_blur: {sgma: 1}", "gaussian_blur.sgma: unknown key; did you mean 'sigma'?"),
        ("mask: {boxes: [[0.25, 0.25, 0.75, 0.75]]}", "gaussian_blur", "operator[0].gaussian_blur.sigma: this key is required"),
        ("boxes: [[0.25, 0.25, 0.75, 0.75]]", "file: 'm/{name}.png'", ":2: operator[0].mask.file: nothing stands for '{name}'; '{stem}' is "
         "a photo's name without its suffix, so that file: 'masks/{stem}.png' takes its mask from a folder of masks"),
        ("boxes: [[0.25, 0.25, 0.75, 0.75]]", "file: 'm/{stem}-{seed}.png'", ":2: operator[0].mask.file: nothing stands for '{seed}'"),
        ("mask: {boxes: [[0.25, 0.25, 0.75, 0.75]]}", "gray: {1: 2}", "operator[0].gray"),
    ],
)  # fmt: skip
def test_wrong_words_in_their_line(tmp_path: Path, old: str, new: str, error: str) -> None:
    assert old in run.QUICK
    with pytest.raises(RecipeError) as raised:
        Recipe.load(run.recipe_file(tmp_path, run.QUICK.replace(old, new)))
    assert error in str(raised.value)


@pytest.mark.parametrize("given", [None, 3, [1], "gray"])
def test_what_is_no_mapping(given: object) -> None:
    with pytest.raises(RecipeError, match="a recipe is a mapping"):
        Recipe.parse(given)


QUICK: dict[str, object] = {"steps": 2, "candidates": 2, "restarts": 1}


@pytest.mark.parametrize(
    ("operator", "solver", "error"),
    [
        (
            "identity",
            [{"latent": {"space": "features@2", **QUICK}}, {"latent": {"space": "z", **QUICK}}],
            r"solver\[1\]: latent: the start has f",
        ),
        ("identity", [{"tuned": {"steps": 1, "candidates": 2}}, {"latent": QUICK}], r"solver\[1\]: the start has tuned weights"),
        (
            "identity",
            [{"latent": {"space": "features@2", **QUICK}}, {"latent": {"space": "features@1", **QUICK}}],
            r"solver\[1\]: latent: the start has features@2, and codes of 'features@1'",
        ),
        ("identity", {"pivotal": {"steps": 2}}, r"solver\[0\]: pivotal: needs a code to stay at"),
        (
            "identity",
            [{"latent": {"space": "features@2", **QUICK}}, {"layered": {"block": 1}}],
            r"solver\[1\]: layered: the start has features@2, and codes of 'features@1'",
        ),
        (
            "identity",
            [{"latent": QUICK}, {"layered": {"block": 2}}, {"layered": {"block": 1}}],
            r"solver\[2\]: layered: the start has features@2, and codes of 'features@1'",
        ),
        ("identity", [{"tuned": {"steps": 1, "candidates": 2}}, {"layered": {"block": 1}}], r"solver\[1\]: the start has tuned weights"),
        ({"downsample": {"factor": 16}}, {"latent": {**QUICK, "loss": {"laplacian_pyramid": {"levels": 4}}}}, r"solver\[0\]: .*lev"),
        ({"fast_sensing": {"ratio": 0.3}}, {"latent": {**QUICK, "loss": "laplacian_pyramid"}}, r"solver\[0\]: .*pictures"),
    ],
)
def test_what_no_photo_could_pass_is_refused_before_any(tmp_path: Path, operator: object, solver: object, error: str) -> None:
    """`check` said that the solver fits, and a run solved its first stages for every photo."""
    recipe = run.quick(operator=operator, solver=solver)
    with pytest.raises(RecipeError, match=f"^{error}"):
        check_recipe(recipe)
    with pytest.raises(RecipeError, match=f"^{error}"):
        equip(recipe, tmp_path, Options())


def test_stages_that_look_at_the_operator_before_any_step_pass(tmp_path: Path) -> None:
    """They were tried on an operator that lets no gradient through."""
    solver = [{"latent": QUICK}, {"langevin": {"noise": 0.05, "steps": 1}}]
    recipe = run.quick(operator={"downsample": {"factor": 8}}, noise={"gaussian": {"sigma": 0.05}}, solver=solver, samples=2)
    check_recipe(recipe)
    (record,) = restore(recipe, run.photos(tmp_path / "in", 1), tmp_path / "out", Options(degrade=True))
    assert record.status == "done"
    assert {"coverage", "spread_to_error"} <= record.metrics.keys()


@pytest.mark.parametrize("family", ["stylegan2-skip", "dcgan"])
def test_what_no_codes_cannot_be_mapped_to(family: str) -> None:
    """What cannot be done with one code is refused of none, too."""
    prior = made(family)
    source = "w" if family == "stylegan2-skip" else "features@2"
    target = "z" if family == "stylegan2-skip" else "features@1"
    for rows in (0, 1):
        with pytest.raises(ValueError, match="no map from"):
            prior.map(torch.zeros(rows, *prior.spaces[source]), source=source, target=target)
    assert prior.map(torch.zeros(0, *prior.spaces["z"]), source="z", target="features@2").shape == (0, *prior.spaces["features@2"])


BY_255 = "pictures are in [0, 1], so divide grey levels by 255: 0.098"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (
            {"noise": [{"poisson": {"peak": 9}}, {"gaussian": {"sigma": 25}}]},
            "noise[1].gaussian.sigma: 25 is more than all that is measured of a picture, at most 1; " + BY_255,
        ),
        (
            {"solver": ["latent", {"layered": {"block": 2, "noise": 25.0}}]},
            "solver[1].layered.noise: 25 is more than all that is measured of a picture, at most 1; " + BY_255,
        ),
        ({"noise": {"gaussian": {"sigma": 1.0}}}, ""),
        ({"noise": {"gaussian": {"sigma": 25}}, "operator": {"gaussian_sensing": {"m": 20}}}, ""),  # whose numbers are as large
        ({"noise": {"gaussian": {"sigma": 500}}, "operator": {"gaussian_sensing": {"m": 1}}}, ""),  # -155 of white, -1303 of noise
    ],
)
def test_noise_in_grey_levels_of_255_is_told(changes: dict[str, object], error: str) -> None:
    """A run failed with its first photo, or stopped there at once, as fitted."""
    recipe = run.quick(**{"operator": {"mask": {"pixels": 0.5, "seed": "{seed}"}}, "output": {}, **changes})
    with pytest.raises(RecipeError, match=f"^{re.escape(error)}$") if error else contextlib.nullcontext():
        build_operators(recipe, (3, 64, 64), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("noise", [{"poisson": {"peak": 9}}, {"salt_pepper": {"amount": 0.1}}, {"photons": {"peak": 9, "dead": 0.1}}])
def test_noise_of_light_is_for_light(noise: dict[str, object]) -> None:
    """Poisson noise made 0 of two thirds of random numbers, and the run blamed the prior."""
    recipe = run.quick(operator={"gaussian_sensing": {"m": 20}}, noise=[{"gaussian": {"sigma": 0.1}}, noise], output={})
    (name,) = noise
    with pytest.raises(RecipeError, match=rf"^noise\[1\].{name}: is for light, and GaussianSensing\(.*\) makes numbers of either sign"):
        build_operators(recipe, (3, 64, 64), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("sensing", ["gaussian_sensing", "fast_sensing"])
@pytest.mark.parametrize(
    "mask", [{"mask": {"boxes": [[0.25, 0.2, 0.5, 0.75]]}}, {"mask": {"pixels": 0.3, "seed": "{seed}"}}, {"lines": {"count": 2}}]
)
@pytest.mark.parametrize("frame", ["center", "tiles"])
def test_a_mask_of_what_is_no_picture(sensing: str, mask: dict[str, object], frame: str) -> None:
    """It ended in a traceback, or a mask for each photo passed its check and failed with every photo."""
    recipe = run.quick(operator=[{sensing: {"m": 20}}, mask], frame=frame)
    with pytest.raises(RecipeError, match=r"^operator\[1\]: (mask|lines): expected images of shape \(B, C, H, W\), got \(B, 20\)"):
        build_operators(recipe, (3, 8, 8), torch.device("cpu"), torch.float32)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"task: caf\xe9")
    (tmp_path / "empty.yaml").write_text("# later\n")
    wrong: dict[str | Path, str] = {
        tmp_path / "none.yaml": "no such recipe",
        "inpant": "did you mean 'inpaint'",
        "my/inpant.yaml": "did you mean 'inpaint'",
        "pulse": "did you mean 'presets/pulse'",
        "presets/PULSE": "did you mean 'presets/pulse'",
        "dejpeg": "did you mean 'presets/robust-dejpeg-l' or 'presets/robust-dejpeg-m' or 'presets/robust-dejpeg-s'",
        "dgp": "did you mean 'presets/dgp-colorize' or 'presets/dgp-inpaint' or 'presets/dgp-reconstruct'. give",
        "in": "in: no such recipe; give a built-in name",  # two letters are in many names
        "": "the recipe is ''; give a built-in name",
        "q" * 300: "q: no such recipe",
        "qqq": "qqq: no such recipe; give a built-in name .`priorsolve list recipes` shows them all. or the path of a .yaml file$",
        tmp_path: "a folder, not a recipe; give a built-in name",
        tmp_path / "empty.yaml": "empty.yaml: a recipe is a mapping of keys such as operator, prior and solver, and this is empty$",
        tmp_path / "latin.yaml": "latin.yaml: no recipe, which would be text in UTF-8; give a built-in name",
    }
    for source, error in wrong.items():
        with pytest.raises(RecipeError, match=error):
            Recipe.load(source)


def test_a_file_goes_before_a_recipe_of_its_name_and_a_folder_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the folder that `--out inpaint` made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inpaint").mkdir()
    assert find_recipe("inpaint") == builtin_recipes()["inpaint"]
    (tmp_path / "colorize").write_text(run.QUICK)
    assert find_recipe("colorize") == Path("colorize")


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    text = run.QUICK.replace("steps: 2", "steps: 2, jitter: 1e-3, lr: 1")
    ((latent,),) = ([spec["latent"] for spec in Recipe.load(run.recipe_file(tmp_path, text)).solver],)
    assert (latent["jitter"], latent["lr"]) == (0.001, 1.0)


@pytest.mark.parametrize("name", sorted(builtin_recipes()))
def test_a_dump_is_the_recipe(tmp_path: Path, name: str) -> None:
    recipe = Recipe.load(name)
    (tmp_path / "again.yaml").write_text(recipe.dump(), encoding="utf-8")
    again = Recipe.load(tmp_path / "again.yaml")
    assert again == recipe
    assert again.fingerprint() == recipe.fingerprint()


def test_what_is_merged_from_elsewhere_is_no_key_given_twice() -> None:
    merged = parse("few: &few {steps: 1}\nouter: {inner: &more {<<: *few, steps: 2}}\nmost: {<<: *more}")
    assert merged["outer"]["inner"] == merged["most"] == {"steps": 2}


def test_a_text_that_looks_like_a_number_stays_one(tmp_path: Path) -> None:
    recipe = Recipe.parse({**GOOD, "task": "1e5"})
    assert Recipe.parse(parse(recipe.dump())) == recipe


def test_every_metric_may_be_asked_for(tmp_path: Path) -> None:
    assert Recipe.parse({**GOOD, "metrics": ["psnr", "ssim", "lpips"]}).metrics == ["psnr", "ssim", "lpips"]
    assert Recipe.parse(GOOD, ["metrics=ssim"]).metrics == ["ssim"]  # one needs no list, as with components
    assert Recipe.parse(GOOD).metrics == ["psnr", "ssim"]  # the usual ones need no download


def test_a_prior_beside_the_recipe_or_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "recipes" / "beside.pth").write_bytes(b"")
    (tmp_path / "work" / "here.pth").write_bytes(b"")
    (tmp_path / "recipes" / "digiface64").write_bytes(b"a file of the zoo's name")

    def prior(name: str, *overrides: str) -> str:
        return Recipe.load(run.recipe_file(tmp_path / "recipes", run.QUICK.replace("digiface64", name)), overrides).prior

    assert prior("beside.pth") == str(tmp_path / "recipes" / "beside.pth")
    assert prior("here.pth") == prior("beside.pth", "prior=here.pth") == str(tmp_path / "work" / "here.pth")
    assert prior("digiface64") == "digiface64"
    assert prior("nowhere.pth") == "nowhere.pth"


def test_the_schema_takes_what_recipes_take() -> None:
    validator = jsonschema.Draft202012Validator(recipe_schema())
    validator.check_schema(validator.schema)
    good: dict[str, Any]
    for name, path in builtin_recipes().items():
        assert list(validator.iter_errors(parse(path.read_text(encoding="utf-8")))) == [], name
    for good in (
        GOOD,
        {**GOOD, "metrics": "psnr"},
        {**GOOD, "metrics": None},
        {**GOOD, "noise": None},
        {**GOOD, "noise": [], "surrogate": None, "output": {"mean": None}},
        {**GOOD, "frame": {"faces": None}},
        {**GOOD, "operator": {"gray": None}},
        {**GOOD, "operator": ["gray", {"mask": {"file": "masks/{stem}.png", "strokes": "thin", "seed": "{seed}"}}]},
        parse(Recipe.load("old-photo").dump()),
    ):
        Recipe.parse(good)
        assert list(validator.iter_errors(good)) == [], good
    for bad in (
        {**GOOD, "sovler": "latent"},
        {**GOOD, "operator": "grey"},
        {**GOOD, "operator": []},
        {**GOOD, "operator": None},
        {**GOOD, "operator": {}},
        {**GOOD, "operator": {"gray": {}, "identity": {}}},
        {**GOOD, "operator": "gaussian_blur"},
        {**GOOD, "solver": {"latent": {"stps": 3}}},
        {**GOOD, "solver": {"latent": {"steps": "three"}}},
        {**GOOD, "solver": []},
        {**GOOD, "frame": {}},
        {**GOOD, "frame": {"faces": {}, "tiles": {}}},
        {"operator": "gray", "solver": "latent"},
    ):
        with pytest.raises(RecipeError):
            Recipe.parse(bad)
        assert not validator.is_valid(bad), bad


def test_the_schema_says_what_every_key_means() -> None:
    """An editor shows it beside the key."""
    schema = recipe_schema()
    models = {"Recipe": schema} | {name: schema["$defs"][name] for name in ("Output", "Faces", "Tiles", "Scratches", "Elsewhere")}
    bare = [f"{name}.{key}" for name in models for key, rule in models[name]["properties"].items() if not rule.get("description")]
    assert bare == []
    assert schema["$defs"]["Output"]["properties"]["sheet"]["description"] == "Write the contact sheet."
    assert schema["properties"]["solver"]["description"] == "One after another, each from the solution of the last."
    assert [schema["properties"][key]["default"] for key in ("frame", "metrics")] == ["center", ["psnr", "ssim"]]
    arguments = {name: rule for each in schema["$defs"]["operator"]["anyOf"] for name, rule in each.get("properties", {}).items()}
    assert arguments["disk_blur"]["properties"]["padding"]["default"] == "reflect"


def test_a_file_that_is_really_called_so_is_taken(tmp_path: Path) -> None:
    (tmp_path / "{name}.png").write_bytes(b"x")
    text = run.QUICK.replace("boxes: [[0.25, 0.25, 0.75, 0.75]]", "file: '{name}.png'")
    assert Recipe.load(run.recipe_file(tmp_path, text)).operator[0]["mask"]["file"] == str(tmp_path / "{name}.png")


def test_a_photos_seed_is_of_its_plain_name_and_stays_what_it_was() -> None:
    expected = int(hashlib.sha256(b"3/sub/a").hexdigest()[:12], 16)
    assert photo_seed(3, "sub/a.jpg") == photo_seed(3, "sub/a.JPG") == photo_seed(3, "sub/a.jpg.png") == expected
    assert photo_seed(0, "\udce8.png") != photo_seed(0, "\udce9.png")  # names that are no UTF-8


def test_the_weight_of_a_lone_loss_is_kept() -> None:
    """Beside penalties it counts."""
    for given, kept in (("l2", "l2"), ({"l2": {"weight": 1}}, "l2"), ({"l2": {"weight": 2}}, {"l2": {"weight": 2.0}})):
        assert run.quick(solver=[{"latent": {"loss": given}}]).solver[0]["latent"]["loss"] == kept
