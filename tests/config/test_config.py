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
    LocalConfig,
    RayConfig,
    ReconstructionConfig,
    SampleConfig,
    ScaleConfig,
    SubmititConfig,
    TokenizerConfig,
    describe_presets,
    kind_of,
    load_config,
    preset_names,
    to_yaml,
    validate,
)
from sendvae.config.wording import COMMANDS
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
    "local": LocalConfig,
    "ray": RayConfig,
    "submitit": SubmititConfig,
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
    message = r"another command(?s:.*)kind: diffusion(?s:.*)kind: tokenizer(?s:.*)sendvae train diffusion demo/sit-tiny"
    with pytest.raises(UserError, match=message):
        load_config(TokenizerConfig, "demo/sit-tiny")


def test_missing_keys_and_presets(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'tokenizer' is missing"):
        validate(DiffusionConfig, {"loop": {"images": 1, "batch_size": 1}})
    with pytest.raises(UserError, match=r"did you mean 'demo/send-vae'. sendvae presets lists them"):
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"kind: tokenizer\ninit: caf\xe9\n", r"not text in UTF-8(?s:.*)byte 0xe9 at 25(?s:.*)iconv"),
        (bytes(range(256)), r"not text in UTF-8"),
        (b"seed: '\0'\n", r"not valid YAML"),
        (b"seed: [1\n", r"not valid YAML(?s:.*)line 2, column 1"),
        (b"seed: " + b"[" * 3000, r"not valid YAML"),
        (b"seed: 2026-13-45\n", r"not valid YAML"),
        (b"seed: !!timestamp 1\n", r"not valid YAML(?s:.*)leave the tag out"),
        (b"seed: !!bool 1\n", r"not valid YAML(?s:.*)leave the tag out"),
        (b"seed: !!float\n", r"not valid YAML(?s:.*)leave the tag out"),
        (b"- 1\n", r"mapping of keys"),
        (b"", r"mapping of keys"),
        (b"extends: [1]\n", r"extends names no configuration"),
        (b"extends: file.yaml\n", r"extends itself"),
        (
            b"extends: other.yaml\n",
            r"other.yaml extends itself(?s:.*)file.yaml -> .*other.yaml -> .*file.yaml",
        ),
        (b"extends: demo/plain\nseed: &a [*a]\n", r"'seed.0' holds itself"),
        (b"extends: demo/plain\n1: 2\n", r"a key that is no name(?s:.*)given: +1"),
    ],
)
def test_a_file_that_is_no_configuration_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file.yaml").write_bytes(content)
    (tmp_path / "other.yaml").write_text("extends: file.yaml\n")
    with pytest.raises(UserError, match=message):
        load_config(TokenizerConfig, tmp_path / "file.yaml")


def test_a_preset_may_be_extended_under_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo" / "plain.yaml").write_text("extends: demo/plain\nseed: 3\n")
    assert load_config(TokenizerConfig, "demo/plain.yaml").seed == 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed=x", "a whole number"),
        ("seed=-1", "0 or more"),
        ("loop.batch_size=0", "a number above 0"),
        ("optimizer.lr=fast", "a number"),
        ("optimizer.lr=.inf", "a finite number"),
        ("optimizer.betas=[1.0, 0.5]", "a number below 1"),
        ("optimizer.betas=[0.1]", "2 entries or more"),
        ("optimizer.betas=x", "a list, as [a, b]"),
        ("data.flip=maybe", "true or false"),
        ("data.source=", "text"),
        ("loop=3", "a section"),
        ("loop.precision=fp8", "'auto', 'fp32', 'tf32' or 'bf16'"),
        ("seed=99999999999999999999", "at most 9,223,372,036,854,775,807"),
        ("data.crop=random", "data.crop=random needs the size of the window"),
        ("optimizer.betas=[0.1", "not valid YAML"),
        ("seed=!!python/object/apply:os.system [true]", "not valid YAML"),
    ],
)
def test_what_a_field_takes_is_said_in_words(override: str, words: str) -> None:
    with pytest.raises(UserError) as refused:
        load_config(TokenizerConfig, "demo/plain", [override])
    assert words in str(refused.value)
    assert "Input should" not in str(refused.value)
    assert "Value error" not in str(refused.value)


def test_a_field_of_several_types_names_all_of_them_under_its_own_name() -> None:
    with pytest.raises(UserError, match=r"'time_shift' has(?s:.*)a number or 'dimension'"):
        load_config(DiffusionConfig, "demo/sit-tiny", ["time_shift=x"])


@pytest.mark.parametrize(("text", "number"), [("1e6", 1_000_000), ("1.5e3", 1500), ("2E2", 200)])
def test_an_exponent_may_write_a_whole_number(text: str, number: int) -> None:
    config = load_config(TokenizerConfig, "demo/plain", [f"loop.images={text}", f"optimizer.lr={text}"])
    assert (config.loop.images, config.optimizer.lr) == (number, number)
    for refused in ("1.5", "1e-1", "1e30"):
        with pytest.raises(UserError, match="a whole number"):
            load_config(TokenizerConfig, "demo/plain", [f"loop.images={refused}"])


def test_each_shipped_preset_is_described_in_a_line() -> None:
    described = describe_presets()
    assert [one.name for one in described] == preset_names()
    for one in described:
        assert one.kind in COMMANDS
        assert len(one.line.split()) >= 3, one
        assert one.line.endswith("."), one  # a whole sentence, however many lines it takes
        assert "sendvae train" not in one.line, one


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


def test_a_bare_off_is_the_word() -> None:
    """YAML reads it as false; true is no setting."""
    assert load_config(DiffusionConfig, "demo/sit-tiny", ["loop.compile=off"]).loop.compile == "off"
    assert load_config(DiffusionConfig, "demo/sit-tiny", ["loop.compile=regional"]).loop.compile == "regional"
    with pytest.raises(UserError, match=r"loop\.compile"):
        load_config(DiffusionConfig, "demo/sit-tiny", ["loop.compile=on"])
