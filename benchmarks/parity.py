"""How far priorsolve's priors are from the numbers that the original code gave, family by family and format by format.

    python benchmarks/parity.py [REFERENCE_FOLDER]

The folder holds one case per format: a checkpoint in its own container, the inputs and outputs of the original code, and case.json with
the tolerance stated there. Left out, it is ../shared/reference beside the checkout. The cases of real weights use priors of the zoo,
which are downloaded on first use. A broken or unrelated file is no case here; tests/test_checkpoint.py has those. Differences are in the
network's own range, float32 on the CPU.

Prints a Markdown table for docs/formats.md; exits with 1 where a difference is beyond its tolerance.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from machine import describe
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

from priorsolve.priors import (
    BigGAN,
    BigGANDeep,
    BigGANDiscriminator,
    ConditionalDCGAN,
    FetchError,
    MobileStyleGAN,
    Prior,
    StyleGAN2,
    StyleGAN3,
    fetch,
    load_prior,
    read_checkpoint,
    read_state,
)
from priorsolve.priors.base import NoiseMode
from priorsolve.priors.load import format_of

Pair = tuple[str, Tensor, Tensor]
"""What is compared: its name, ours, the original's."""
NOISES: tuple[NoiseMode, ...] = ("const", "none")


@dataclass(frozen=True)
class Case:
    """One folder of the reference: where its files lie, what case.json says, and the original's inputs and outputs."""

    folder: Path
    facts: Mapping[str, Any]
    expected: Mapping[str, Tensor]

    @property
    def weights(self) -> Path:
        """The generator's file, or the folder where its settings lie beside it."""
        names = self.facts["checkpoint"]
        names = [names] if isinstance(names, str) else names
        return self.folder if "config.json" in names else self.folder / names[0]

    @property
    def tolerance(self) -> tuple[float, float]:
        """Absolute and relative, as case.json states them; for real weights, which state none, what the tests allow."""
        stated = self.facts.get("suggested_tolerance")
        return (stated["atol"], stated["rtol"]) if stated else (2e-4 if "mobilestylegan" in self.folder.name else 1e-5, 0)


def raw(prior: Prior, codes: Tensor, space: str | None = None, label: Tensor | None = None, noise: NoiseMode = "const") -> Tensor:
    """The pictures in the network's own range."""
    return 2 * prior.decode(codes, space, label=label, noise=noise) - 1


def nvidia2(prior: Prior, case: Case) -> Iterator[Pair]:
    """StyleGAN2 of NVIDIA's two repositories: styles, truncation with and without cutoff, pictures, mixed styles, features."""
    assert isinstance(prior, StyleGAN2)
    expected = case.expected
    z, label = expected["z"], expected.get("c_onehot")
    for psi in (1, 0.5):
        wplus = prior.map(z, source="z", target="w+", label=label, truncation=psi)
        yield "w+", wplus, expected[f"w_plus_psi{psi}"]
        for noise in NOISES:
            yield "picture", raw(prior, wplus, "w+", noise=noise), expected[f"image_psi{psi}_noise_{noise}"]
    cutoff = next(int(key.split("cutoff")[1]) for key in expected if "cutoff" in key)
    plain = expected["w_plus_psi1"]
    yield "w+", prior.truncated(plain, 0.5, cutoff), expected[f"w_plus_psi0.5_cutoff{cutoff}"]
    mixed = torch.cat([plain[:1, :cutoff], plain[1:, cutoff:]], dim=1)
    yield "picture", raw(prior, mixed, "w+", noise="none"), expected["image_style_mix_noise_none"]
    features = prior.map(z, source="z", target="features@3", label=label)
    yield "features", features, torch.cat([expected["feature.b8.x"], expected["feature.b8.img"]], 1)


def rosinality(prior: Prior, case: Case) -> Iterator[Pair]:
    """StyleGAN2 in rosinality's names. Training files have no w̄: the original's estimate stands in, as it did for the pictures."""
    assert isinstance(prior, StyleGAN2)
    expected = case.expected
    if "training" not in case.folder.name:
        yield "w̄", prior.mapping.w_avg, expected["latent_avg"]
    prior.mapping.w_avg = expected["latent_avg"]
    yield "w+", prior.map(expected["z"], source="z", target="w+"), expected["w_plus_psi1"]
    for psi in (1, 0.5):
        wplus = prior.map(expected["z"], source="z", target="w+", truncation=psi)
        for noise in NOISES:
            yield "picture", raw(prior, wplus, "w+", noise=noise), expected[f"image_psi{psi}_noise_{noise}"]
    yield "picture", raw(prior, expected["w_plus_input"], "w+"), expected["image_from_w_plus_input_noise_const"]
    plain, cut = expected["w_plus_psi1"], case.facts["config"]["inject"]
    mixed = torch.cat([plain[:1, :cut], plain[1:, cut:]], dim=1)
    yield "picture", raw(prior, mixed, "w+", noise="none"), expected["image_style_mix_noise_none"]
    for space, key in (("features@2", "conv1"), ("features@3", "convs.1")):
        yield "features", prior.map(plain, source="w+", target=space)[:, :-3], expected[f"feature.{key}"]
    yield "features", prior.map(plain, source="w+", target="features@3")[:, -3:], expected["feature.to_rgbs.0"]


def nvidia3(prior: Prior, case: Case) -> Iterator[Pair]:
    """StyleGAN3. Pictures are compared one at a time: the original's depend on their neighbours in the batch, ours do not."""
    assert isinstance(prior, StyleGAN3)
    expected = case.expected
    for psi in (1, 0.5):
        yield "w+", prior.map(expected["z"], source="z", target="w+", truncation=psi), expected[f"w_plus_psi{psi}"]
    plain = expected["w_plus_psi1"]
    yield "w+", prior.truncated(plain, 0.5, 8), expected["w_plus_psi0.5_cutoff8"]
    yield "picture", raw(prior, plain, "w+"), expected["image_psi1_each_alone"]
    mixed = torch.cat([plain[:1, :8], plain[1:, 8:]], dim=1)
    yield "picture", raw(prior, mixed, "w+"), expected["image_style_mix"]
    inner = next(key for key in expected if key.startswith("feature.L5"))
    for key, space in (("feature.input", "features@2"), (inner, "features@8")):
        yield "features", prior.map(plain[:1], source="w+", target=space), expected[key]


def pggan(prior: Prior, case: Case) -> Iterator[Pair]:
    """Pictures of z, and of z scaled to norm √dim; features of 8×8."""
    expected, z = case.expected, case.expected["z"]
    yield "picture", raw(prior, z), expected["image"]
    scaled = z * (z.shape[1] ** 0.5 / z.norm(dim=1, keepdim=True))
    yield "picture", raw(prior, scaled), expected["image_of_z_scaled_to_sqrt_dim_norm"]
    (features,) = (value for key, value in expected.items() if key.startswith("feature."))
    yield "features", prior.map(z, source="z", target="features@4"), features


def biggan(prior: Prior, case: Case) -> Iterator[Pair]:
    """Class by index, by embedding and as a mixture; features; and the discriminator's features and verdicts."""
    assert isinstance(prior, BigGAN)
    expected, z, y = case.expected, case.expected["z"], case.expected["y"]
    both = prior.map(z, source="z", target="z+c", label=y)
    yield "class", both[:, z.shape[1] :], expected["class_embedding"]
    yield "picture", raw(prior, z, "z", label=y), expected["image"]
    yield "picture", raw(prior, torch.cat([z, expected["class_embedding"]], 1), "z+c"), expected["image"]
    mixture = torch.zeros(1, prior.n_classes)
    mixture[0, y[0]], mixture[0, y[1]] = 0.25, 0.75
    yield "picture", raw(prior, z[:1], "z", label=mixture), expected["image_class_mix_25_75_of_z0"]
    for k in (0, 1):
        wanted = expected[f"feature.blocks.{k}"]
        features = prior.map(z[:1], source="z", target=f"features@{k + 2}", label=y[:1])
        yield "features", features[:, : wanted.shape[1]], wanted  # after them come the class and the rest of z
    discriminator = BigGANDiscriminator.from_state(read_state(case.folder / case.facts["checkpoint"][1]))
    images = (expected["image"][: len(expected["D_out_no_class"])] + 1) / 2
    found = discriminator.features(images)
    for key in (key for key in expected if key.startswith("D_feature_")):
        yield "discriminator", found[int(key.removeprefix("D_feature_"))][: len(expected[key])], expected[key]
    yield "discriminator", discriminator(images)[:, None], expected["D_out_no_class"]
    yield "discriminator", discriminator(images, y[: len(images)])[:, None], expected["D_out_with_class"]


def biggan_deep(prior: Prior, case: Case) -> Iterator[Pair]:
    """Five truncations, among them two where the original picks or mixes rows of statistics in its own way."""
    assert isinstance(prior, BigGANDeep)
    expected, label = case.expected, case.expected["class_vector"]
    yield "class", prior.embed(label), expected["class_embedding"]
    for truncation in (0.4, 0.7, 1.0, 0.58, 0.05):
        images = expected[f"image_truncation{truncation}"]
        z = truncation * expected["z_before_truncation"][: len(images)]
        yield "picture", raw(prior.with_truncation(truncation), z, "z", label=label[: len(images)]), images
    for k in (0, 8):
        wanted = expected[f"feature.layers.{k}_truncation0.4"]
        z = 0.4 * expected["z_before_truncation"][: len(wanted)]
        features = prior.with_truncation(0.4).map(z, source="z", target=f"features@{k + 2}", label=label[: len(wanted)])
        yield "features", features[:, : wanted.shape[1]], wanted


def dcgan(prior: Prior, case: Case) -> Iterator[Pair]:
    """Pictures with running statistics; the output of main.6, which is the convolution of the third block."""
    z = case.expected["z"].flatten(1)
    yield "picture", raw(prior, z), case.expected["image_eval"]
    inner = prior.blocks[2].get_submodule("0")(prior.map(z[:1], source="z", target="features@2"))
    yield "features", inner, case.expected["feature.main.6"]


def real_dcgan(prior: Prior, case: Case) -> Iterator[Pair]:
    """The real 64² faces, as loaded and folded."""
    z = case.expected["z"].flatten(1)
    for each in (prior, prior.folded()):
        yield "picture", raw(each, z), case.expected["image"]
    yield "features", prior.map(z[:1], source="z", target="features@3"), case.expected["feature.main.8"]


def real_conditional(prior: Prior, case: Case) -> Iterator[Pair]:
    """The real 128² eyes, as loaded and folded: class by index, by weights, and as a mixture."""
    assert isinstance(prior, ConditionalDCGAN)
    expected, z = case.expected, case.expected["z"].flatten(1)
    for each in (prior, prior.folded()):
        for label in (expected["class_index"], expected["label_onehot"]):
            yield "picture", raw(each, z, "z", label=label), expected["image"]
        yield "picture", raw(each, z[:1], "z", label=expected["label_mix"]), expected["image_mix_of_z0"]


def real_mobile(prior: Prior, case: Case) -> Iterator[Pair]:
    """The real 1024² faces against the OpenVINO runtime: w, three full-size crops of each picture, and the whole shrunk to 256²."""
    assert isinstance(prior, MobileStyleGAN)
    expected = case.expected
    yield "w", prior.map(expected["z"], source="z", target="w"), expected["w"]
    half = torch.lerp(expected["w_avg_4096"], expected["w"][:1], 0.5)
    for suffix, styles in (("psi1", expected["w"]), ("psi0_5", half)):
        for i, w in enumerate(styles):
            image = raw(prior, w[None], "w")[0]
            for crop, box in case.facts["crops"].items():
                rows, columns = slice(box["top"], box["top"] + box["height"]), slice(box["left"], box["left"] + box["width"])
                yield "crop", image[:, rows, columns], expected[f"{crop}_{suffix}"][i]
            if suffix == "psi1":
                # stored in 16 bits: compared as they are
                small = expected["image_psi1_area256"][i]
                yield "shrunk picture (16-bit)", avg_pool2d(image, 4).to(small.dtype), small


COMPARISONS: Mapping[str, tuple[str | None, Callable[[Prior, Case], Iterator[Pair]]]] = {
    "01_nvidia_": (None, nvidia2),
    "02_": (None, rosinality),
    "03_biggan_": (None, biggan),
    "04_hf_biggan_deep": (None, biggan_deep),
    "05_pggan_": (None, pggan),
    "06_nvidia_sg3repo_sg2": (None, nvidia2),
    "06_nvidia_sg3_": (None, nvidia3),
    "07_dcgan_": (None, dcgan),
    "08a_": ("ffhq1024", real_mobile),
    "08b_": ("digiface64", real_dcgan),
    "08c_": ("eyes128", real_conditional),
}
"""How a case's folder begins, the zoo's name for weights that are not in it, and what is compared."""
_OTHERS = ("08d_", "09_")
"""Cases of no prior: the distance's backbones, and files to survive."""


def row(case: Case, name: str | None, compare: Callable[[Prior, Case], Iterator[Pair]]) -> tuple[str, bool]:
    """The case's line of the table, and whether every number is within the tolerance."""
    prior = load_prior(name or case.weights)
    weights = fetch(name) if name else case.weights
    reader = "OpenVINO graph" if isinstance(prior, MobileStyleGAN) else format_of(read_checkpoint(weights)).family
    atol, rtol = case.tolerance
    counts: dict[str, int] = {}
    largest, within = 0.0, True
    with torch.no_grad():
        for what, ours, wanted in compare(prior, case):
            assert ours.shape == wanted.shape, (case.folder.name, what, ours.shape, wanted.shape)
            difference = (ours.double() - wanted.double()).abs()
            counts[what] = counts.get(what, 0) + 1
            # the shrunk pictures are stored coarsely; they are held to that, and their difference is no measure of ours
            bound = torch.full_like(difference, 1e-3) if "16-bit" in what else atol + rtol * wanted.double().abs()
            within &= bool((difference <= bound).all())
            if "16-bit" not in what:
                largest = max(largest, float(difference.max()))
    compared = ", ".join(f"{what} ×{count}" for what, count in counts.items())
    stated = f"{atol:.0e}" if "suggested_tolerance" in case.facts else f"{atol:.0e} (ours)"
    cells = (
        type(prior).__name__,
        f"{case.facts['format']} ({reader.replace(' (', ', ').rstrip(')')})",
        case.folder.name,
        compared,
        stated,
        f"{largest:.1e}",
    )
    return f"| {' | '.join(cells)} |", within


def main(reference: Path) -> int:
    """Print the table; 1 where a number is beyond its tolerance, 2 where there is nothing to compare with."""
    if not (reference / "INDEX.json").is_file():
        print(f"{reference}: no reference cases there (no INDEX.json); give their folder", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    print(f"{describe()}\n")
    print("| family | format (reader) | case | compared | stated tolerance | largest difference |\n|---|---|---|---|---|---|")
    wrong = []
    for folder in sorted(path.parent for path in reference.glob("*/case.json")):
        found = next((value for start, value in COMPARISONS.items() if folder.name.startswith(start)), None)
        if found is None:
            if not folder.name.startswith(_OTHERS):
                wrong.append(f"{folder.name} (no comparison known)")
            continue
        facts = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        line, within = row(Case(folder, facts, load_file(folder / "expected.safetensors")), *found)
        print(line, flush=True)
        if not within:
            wrong.append(folder.name)
    if wrong:
        print(f"beyond their tolerance: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "shared" / "reference"))
    except FetchError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
