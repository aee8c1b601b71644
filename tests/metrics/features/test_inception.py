from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from tests.metrics.features.random_inception import write_random_weights
from torch_fidelity import feature_extractor_inceptionv3 as fidelity

from sendvae.errors import UserError
from sendvae.metrics import InceptionFeatures, load_inception
from sendvae.metrics.features import inception


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_weights(tmp_path_factory.mktemp("inception") / "random.pth")


@pytest.fixture(scope="module")
def network(weights: Path) -> InceptionFeatures:
    return load_inception(weights, sha256=None)


@pytest.fixture(scope="module")
def reference(weights: Path) -> fidelity.FeatureExtractorInceptionV3:
    return fidelity.FeatureExtractorInceptionV3(
        "reference", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
    )


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)


def test_features_are_those_of_torch_fidelity_bit_for_bit(network, reference, images: torch.Tensor) -> None:
    pool, logits = reference(images)
    outputs = network.outputs(images)
    assert torch.equal(outputs.pool, pool)
    assert torch.equal(outputs.logits, logits)
    assert torch.equal(network(images), pool)
    torch.testing.assert_close(outputs.logits, pool @ reference.fc.weight.T)


def test_spatial_features_are_channels_last(network, reference, images: torch.Tensor) -> None:
    x = fidelity.interpolate_bilinear_2d_like_tensorflow1x(
        images.float(), size=(299, 299), align_corners=False
    )
    x = (x - 128) / 128
    for name in [
        "Conv2d_1a_3x3",
        "Conv2d_2a_3x3",
        "Conv2d_2b_3x3",
        "MaxPool_1",
        "Conv2d_3b_1x1",
        "Conv2d_4a_3x3",
        "MaxPool_2",
        "Mixed_5b",
        "Mixed_5c",
        "Mixed_5d",
        "Mixed_6a",
        "Mixed_6b",
        "Mixed_6c",
    ]:
        x = getattr(reference, name)(x)
    branch = reference.Mixed_6d.branch1x1(x)
    assert branch.shape == (2, 192, 17, 17)
    spatial = network.outputs(images).spatial
    assert spatial.shape == (2, 2023)
    assert float(spatial.min()) >= 0.0
    assert float(spatial.std()) > 0.0
    for row, column, channel in [(0, 0, 0), (0, 0, 6), (0, 1, 0), (3, 11, 5), (16, 16, 6)]:
        column_of_array = (row * 17 + column) * 7 + channel
        assert torch.equal(spatial[:, column_of_array], branch[:, channel, row, column])


def test_batch_does_not_matter(network, images: torch.Tensor) -> None:
    together = network.outputs(images)
    alone = [network.outputs(image[None]) for image in images]
    for field, values in zip(together._fields, together, strict=True):
        torch.testing.assert_close(
            values, torch.cat([getattr(one, field) for one in alone]), rtol=1e-4, atol=1e-5
        )


def test_missing_weights_say_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="6726825d") as error:
        load_inception(tmp_path / "absent.pth")
    assert str(tmp_path / "absent.pth") in str(error.value)
    assert "https://github.com/toshas/torch-fidelity" in str(error.value)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=inception.FILE):
        load_inception()


def test_other_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the published file"):
        load_inception(weights)
    content = tmp_path / "not-weights.pth"
    content.write_bytes(b"hello")
    with pytest.raises(UserError, match="is damaged or holds no weights"):
        load_inception(content, sha256=hashlib.sha256(b"hello").hexdigest())
    torch.save({"fc.weight": torch.zeros(3)}, content)
    with pytest.raises(UserError, match="do not fit Inception"):
        load_inception(content, sha256=None)


def test_code_in_a_weight_file_does_not_run(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "bomb.pth"
    path.write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(UserError, match=r"is damaged|was not loaded"):
        load_inception(path, sha256=None)
    torch.save(Bomb(), path)
    with pytest.raises(UserError, match=r"is damaged|was not loaded"):
        load_inception(path, sha256=None)
    assert not (tmp_path / "ran").exists()


def test_input_as_pytorch_fid_prepares_it(weights: Path, network, images: torch.Tensor) -> None:
    half_pixel = load_inception(weights, sha256=None, resize="pytorch-fid")
    seen: list[torch.Tensor] = []
    half_pixel.network.Conv2d_1a_3x3.conv.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    features = half_pixel(images)
    x = torch.nn.functional.interpolate(images.float() / 255, size=(299, 299), mode="bilinear")
    torch.testing.assert_close(seen[0], 2 * x - 1)
    assert not torch.allclose(features, network(images), rtol=1e-3)


def test_pytorch_fids_copy_of_the_file_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    assert inception.WEIGHTS.find() == []
    (folder / "pt_inception-2015-12-05-6726825d.pth").touch()
    assert inception.WEIGHTS.find() == [folder / "pt_inception-2015-12-05-6726825d.pth"]
    (folder / inception.FILE).touch()
    assert inception.WEIGHTS.find() == [folder / inception.FILE]
