"""Every row of the trained generators: its weights are here, of the network it says, on the tokenizer it names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sendvae.diffusion import (
    DIFFUSION_MODELS,
    SiT,
    load_generator,
    locate_generator,
    named_model,
    save_generator,
)
from sendvae.errors import UserError
from sendvae.tokenizers import load_tokenizer
from sendvae.weights import Shipped


def small_sit() -> SiT:
    sizes = {"latent_channels": 4, "latent_size": 4, "patch_size": 1, "width": 16, "depth": 1, "heads": 2}
    return SiT(**sizes, num_classes=3, repa_width=None)


SHIPPED = [name for name, row in DIFFUSION_MODELS.items() if isinstance(row.weights.source, Shipped)]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_name_loads_the_weights_that_ship_with_it(name: str) -> None:
    row, generator = DIFFUSION_MODELS[name], load_generator(name)
    stored = load_file(row.weights.find()[0])
    assert sum(tensor.numel() for tensor in generator.state_dict().values()) == row.weights.parameters
    for key, tensor in generator.state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, stored[key].float())
    assert not generator.training
    tokenizer = load_tokenizer(row.tokenizer)
    assert tokenizer.latent_channels == generator.latent_shape[0]
    assert tokenizer.latent_stats is not None


def test_generators_of_two_tokenizers_differ() -> None:
    first, second = (load_generator(name).state_dict() for name in SHIPPED[:2])
    name = "final_layer.linear.weight"
    assert not torch.equal(first[name], second[name])


def test_a_folder_of_the_same_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = SHIPPED[0]
    assert named_model(name) is DIFFUSION_MODELS[name]
    save_generator(small_sit(), tmp_path / name)
    assert named_model(name) is None
    assert locate_generator(name) == Path(name)
    assert load_generator(name).num_classes == 3
    shutil.rmtree(name)
    assert load_generator(name).num_classes == 10


def test_an_unknown_name_is_a_path_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert named_model("demo-sit-sent") is None
    with pytest.raises(UserError, match="demo-sit-sent is not a generator"):
        load_generator("demo-sit-sent")
