"""A generator and its tokenizer as a pipeline of diffusers; the folder that `write_pipeline` writes names these classes.

The pipeline is no second implementation: it draws with `draw_images`, as `sendvae sample` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from PIL import Image

from sendvae.config import SampleConfig, load_config, validate
from sendvae.diffusion import Generator, load_generator
from sendvae.errors import UserError
from sendvae.evaluation.labels import check_guidance
from sendvae.evaluation.sampling import draw_images
from sendvae.runs import Classes, load_classes, load_measured
from sendvae.tokenizers import Tokenizer, load_tokenizer

PRESET = "sample/paper"  # the default of `sendvae sample`


class PipelineGenerator(ModelMixin):
    """A generator with its classes, as a component."""

    def __init__(self, generator: Generator, classes: Classes) -> None:
        super().__init__()
        self.generator, self.classes = generator, classes

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **options: Any) -> PipelineGenerator:
        """Return the generator of a folder. Raises ValueError for a type of weights other than float32."""
        _check_dtype(options)
        folder = Path(pretrained_model_name_or_path)
        generator = load_generator(folder)
        return cls(generator, load_classes(folder, generator.num_classes))


class PipelineTokenizer(ModelMixin):
    """A tokenizer with the statistics of its latents, as a component."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **options: Any) -> PipelineTokenizer:
        """Return the tokenizer of a folder. Raises ValueError for a type of weights other than float32."""
        _check_dtype(options)
        folder = Path(pretrained_model_name_or_path)
        tokenizer = load_tokenizer(folder)
        tokenizer.latent_stats = load_measured(folder) or tokenizer.latent_stats
        return cls(tokenizer)


class SendVAEPipeline(DiffusionPipeline):
    """Draws images of classes: those of `sendvae sample` with the same labels, settings and seed."""

    def __init__(self, generator: PipelineGenerator, vae: PipelineTokenizer) -> None:
        super().__init__()
        self.generator: PipelineGenerator
        self.vae: PipelineTokenizer
        self.register_modules(generator=generator, vae=vae)

    @torch.no_grad()
    def __call__(
        self,
        class_labels: int | str | list[int] | list[str],
        guidance_scale: float | None = None,
        num_inference_steps: int | None = None,
        seed: int = 0,
        output_type: str = "pil",
        return_dict: bool = True,
        preset: str = PRESET,
        **settings: Any,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Return an image for every label.

        Args:
            class_labels: numbers or names of classes.
            guidance_scale: 1 is no guidance; by default the preset's.
            num_inference_steps: steps of the sampler; by default the preset's.
            seed: the seed of the noise; image i of it is image i of `sendvae sample`.
            output_type: "pil"; or "np", float32 (N, H, W, 3) in [0, 1].
            return_dict: False gives a tuple.
            preset: a preset of `sendvae sample`.
            settings: other fields of `SamplingConfig`: method, guidance_interval, time_shift, precision, ...

        Raises:
            ValueError: an output type that does not exist.
            UserError: a setting or a preset that does not exist, a class that the generator does not have,
                or guidance of a generator without classes.
        """
        if output_type not in ("pil", "np"):
            raise ValueError(f"output_type must be pil or np, got {output_type}")
        wanted = class_labels if isinstance(class_labels, list) else [class_labels]
        if guidance_scale is not None:
            settings["guidance_scale"] = float(guidance_scale)
        if num_inference_steps is not None:
            settings["steps"] = num_inference_steps
        sampling = validate(SampleConfig, load_config(SampleConfig, preset).model_dump() | settings)
        check_guidance(sampling, self.generator.classes)
        labels = torch.tensor([_number(label, self.generator.classes) for label in wanted])
        batches = [
            draw_images(
                self.generator.generator, self.vae.tokenizer, some.tolist(), labels[some], sampling, seed
            )
            for some in torch.arange(len(wanted)).split(sampling.batch_size)
        ]
        pixels = torch.cat(batches).permute(0, 2, 3, 1).numpy()
        images = (
            [Image.fromarray(one) for one in pixels]
            if output_type == "pil"
            else pixels.astype("float32") / 255
        )
        return ImagePipelineOutput(images=images) if return_dict else (images,)


def _number(label: int | str, classes: Classes) -> int:
    number = classes.number_of(str(label))
    if number is None:
        raise UserError("no such class", given=label, expected=classes.describe())
    return number


def _check_dtype(options: Mapping[str, Any]) -> None:
    for name in ("dtype", "torch_dtype"):
        if options.get(name) not in (None, torch.float32):
            raise ValueError(
                f"weights stay in float32, got {name}={options[name]}: call the pipeline with precision='bf16'"
            )
