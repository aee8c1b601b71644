"""Strict configurations."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sendvae.config import (
    DemoConfig,
    DiffusionConfig,
    GenerationConfig,
    JointConfig,
    LatentsConfig,
    ReconstructionConfig,
    SampleConfig,
    ScaleConfig,
    TokenizerConfig,
    kind_of,
    load_config,
    preset_names,
    to_yaml,
    validate,
)
from sendvae.errors import UserError

SCHEMAS = {
    "demo": DemoConfig,
    "tokenizer": TokenizerConfig,
    "diffusion": DiffusionConfig,
    "joint": JointConfig,
    "evaluate-generation": GenerationConfig,
    "evaluate-reconstruction": ReconstructionConfig,
    "evaluate-latents": LatentsConfig,
    "sample": SampleConfig,
    "scale": ScaleConfig,
}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_round_trips(name: str) -> None:
    schema = SCHEMAS[kind_of(name) or ""]
    config = load_config(schema, name)
    assert validate(schema, yaml.safe_load(to_yaml(config))) == config


def test_methods_differ_from_plain_in_their_alignment_only() -> None:
    plain = load_config(TokenizerConfig, "demo/plain")
    for name in ("direct", "mapper", "send-vae"):
        config = load_config(TokenizerConfig, f"demo/{name}")
        assert config.alignment is not None
        assert config.model_copy(update={"alignment": None}) == plain


def test_overrides() -> None:
    config = load_config(
        TokenizerConfig,
        "demo/send-vae",
        ["optimizer.lr=1e-4", "alignment.depth=2", "ema=0.999", "data.limit=7"],
    )
    assert config.optimizer.lr == 1e-4
    assert config.alignment is not None
    assert config.alignment.depth == 2
    assert config.alignment.method == "send"
    assert (config.ema, config.data.limit) == (0.999, 7)
    assert load_config(TokenizerConfig, "demo/send-vae", ["alignment=null"]).alignment is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lrr=1", r"unknown configuration key 'optimizer.lrr'(?s:.*)did you mean 'optimizer.lr'"),
        ("aligment=null", r"did you mean 'alignment'"),
        ("alignment.mehtod=send", r"did you mean 'alignment.method'"),
        ("optimizer.lr=fast", r"'optimizer.lr' has a wrong value(?s:.*)'fast'"),
        ("loop.batch_size=0", r"'loop.batch_size' has a wrong value"),
        ("seed=1.5", r"'seed' has a wrong value"),
        ("seed", r"section.key=value"),
    ],
)
def test_mistakes_name_the_key(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(TokenizerConfig, "demo/send-vae", [override])


def test_a_configuration_of_another_command_says_so() -> None:
    message = (
        r"another command(?s:.*)kind: diffusion(?s:.*)kind: tokenizer(?s:.*)use the command for its kind"
    )
    with pytest.raises(UserError, match=message):
        load_config(TokenizerConfig, "demo/sit-tiny")


def test_missing_keys_and_presets(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'tokenizer' is missing"):
        validate(DiffusionConfig, {"loop": {"images": 1, "batch_size": 1}})
    with pytest.raises(UserError, match="did you mean 'demo/send-vae'"):
        load_config(TokenizerConfig, "demo/send-vea")
    with pytest.raises(UserError, match="not found"):
        load_config(TokenizerConfig, tmp_path / "none.yaml")


def test_a_file_may_extend_a_preset_or_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: demo/send-vae\noptimizer: {lr: 5e-5}\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\nseed: 3\n")
    config = load_config(TokenizerConfig, tmp_path / "b.yaml")
    assert (config.seed, config.optimizer.lr) == (3, 5e-5)
    assert config.losses == load_config(TokenizerConfig, "demo/send-vae").losses


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    (tmp_path / "evil.yaml").write_text("seed: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError, match="not valid YAML"):
        load_config(TokenizerConfig, tmp_path / "evil.yaml")


def test_quick_demo_is_the_full_path() -> None:
    full, quick = (load_config(DemoConfig, name) for name in ("demo/full", "demo/quick"))
    assert (full.methods, full.diffusion, full.base) == (quick.methods, quick.diffusion, quick.base)


@pytest.mark.parametrize(
    ("schema", "preset", "overrides", "message"),
    [
        (TokenizerConfig, "demo/send-vae", ["data.size=32"], r"data\.tokens=online"),
        (TokenizerConfig, "demo/send-vae", ["data.tokens=online"], r"set data\.size"),
        (DiffusionConfig, "demo/sit-tiny", ["data.size=32", "data.tokens=online"], r"data\.latents=online"),
        (JointConfig, "demo/joint", ["data.size=32"], r"data\.tokens=online"),
    ],
)
def test_random_crops_are_cached_nowhere(
    schema: type[TokenizerConfig], preset: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_config(schema, preset, [*overrides, "data.crop=random"])
    full = [*overrides, "data.crop=random", "data.size=32", "data.tokens=online"]
    assert load_config(
        schema, preset, [*full, *(["data.latents=online"] if schema is DiffusionConfig else [])]
    )
