"""Strict configurations: YAML presets, dotted overrides, errors that name the field. Nothing here imports torch."""

from typing import TypeAlias

from sendvae.config.load import describe_presets, kind_of, load_config, load_expected, to_yaml, validate
from sendvae.config.schema_cell import (
    EvaluationConfig,
    Expected,
    MilestoneConfig,
    SamplesConfig,
    TokenizerScoresConfig,
)
from sendvae.config.schema_common import NameOf, Section
from sendvae.config.schema_demo import DemoConfig
from sendvae.config.schema_diffusion import DiffusionConfig
from sendvae.config.schema_evaluate import GenerationConfig, LatentsConfig, ReconstructionConfig
from sendvae.config.schema_joint import JointConfig
from sendvae.config.schema_launcher import LocalConfig, RayConfig, SubmititConfig
from sendvae.config.schema_sample import SampleConfig, SamplingConfig
from sendvae.config.schema_scale import GeneratorConfig, ScaleConfig, VariantConfig
from sendvae.config.schema_tokenizer import AlignmentConfig, EquivarianceConfig, TokenizerConfig
from sendvae.config.shipped import no_preset, preset_names

TrainingConfig: TypeAlias = TokenizerConfig | DiffusionConfig | JointConfig

__all__ = [
    "AlignmentConfig",
    "DemoConfig",
    "DiffusionConfig",
    "EquivarianceConfig",
    "EvaluationConfig",
    "Expected",
    "GenerationConfig",
    "GeneratorConfig",
    "JointConfig",
    "LatentsConfig",
    "LocalConfig",
    "MilestoneConfig",
    "NameOf",
    "RayConfig",
    "ReconstructionConfig",
    "SampleConfig",
    "SamplesConfig",
    "SamplingConfig",
    "ScaleConfig",
    "Section",
    "SubmititConfig",
    "TokenizerConfig",
    "TokenizerScoresConfig",
    "TrainingConfig",
    "VariantConfig",
    "describe_presets",
    "kind_of",
    "load_config",
    "load_expected",
    "no_preset",
    "preset_names",
    "to_yaml",
    "validate",
]
