"""A generator and its tokenizer as one folder of diffusers, with a custom pipeline."""

from __future__ import annotations

import json
from pathlib import Path

from sendvae.diffusion import save_generator
from sendvae.evaluation.diffusion_model import DiffusionModel
from sendvae.files import new_folder
from sendvae.runs import save_measured
from sendvae.tokenizers.export import write_component

PIPELINE = "pipeline.py"
PARTS = ("generator", "vae")  # folders of its components
OLDEST = "0.35.0"  # of diffusers
MODULE = "sendvae.evaluation.pipeline"
CODE = '''"""The pipeline of this folder. It needs the package that trained it: pip install 'sendvae[diffusers]'.

It imports sendvae rather than carry a copy of its networks and samplers: generators and tokenizers of every kind that
the package knows are then drawn from by the code that `sendvae sample` runs, and so with its pixels.
"""

from sendvae.evaluation.pipeline import SendVAEPipeline

__all__ = ["SendVAEPipeline"]
'''
CARD = """---
library_name: diffusers
{licence}tags: [image-generation, latent-diffusion, sendvae]
---
# {name}

{network} of {parameters:,} parameters with its tokenizer, for {classes} classes of images of {pixels} x {pixels} pixels.

```python
{usage}
```

It needs `pip install 'sendvae[diffusers]'`. The images are those of `sendvae sample` with the same labels, settings and
seed. `class_labels` are {described}.

## origin

```
{origin}
```
"""


def write_pipeline(model: DiffusionModel, folder: Path, licence: str | None = None) -> None:
    """Write a folder from which `DiffusionPipeline.from_pretrained` makes a `SendVAEPipeline`, with a model card.

    Args:
        model: averaged weights, and a tokenizer with the statistics that they were trained with.
        folder: it appears whole or not at all.
        licence: the licence of the weights.

    Raises:
        ValueError: the tokenizer carries no latent statistics.
        UserError: what `write_component` refuses.
    """
    stats = model.tokenizer.latent_stats
    if stats is None:
        raise ValueError("the tokenizer carries no latent statistics")
    index = {
        "_class_name": [Path(PIPELINE).stem, "SendVAEPipeline"],
        "_diffusers_version": OLDEST,
        "generator": [MODULE, "PipelineGenerator"],
        "vae": [MODULE, "PipelineTokenizer"],
    }
    with new_folder(folder) as temporary:
        (temporary / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")
        (temporary / PIPELINE).write_text(CODE)
        generator, vae = (temporary / part for part in PARTS)
        save_generator(model.generator, generator)
        if model.classes.names is not None:
            model.classes.save(generator)
        vae.mkdir()
        write_component(model.tokenizer, vae)
        save_measured(stats, None, vae)
        (temporary / "README.md").write_text(_card(model, folder, licence))


def pipeline_usage(model: DiffusionModel, folder: Path) -> str:
    """Return Python that draws an image from a folder of `write_pipeline`, to paste."""
    label = min(207, model.classes.count - 1)
    guidance = "guidance_scale=2.5, " if model.classes.count > 1 else ""  # without classes there is none
    return "\n".join(
        [
            "from diffusers import DiffusionPipeline",
            "",
            f'folder = "{folder}"',
            "pipeline = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)",
            f"image = pipeline(class_labels=[{label}], {guidance}seed=0).images[0]",
        ]
    )


def _card(model: DiffusionModel, folder: Path, licence: str | None) -> str:
    return CARD.format(
        licence=f"license: {licence.lower()}\n" if licence else "",
        name=folder.name,
        network=type(model.generator).__name__,
        parameters=sum(parameter.numel() for parameter in model.generator.parameters()),
        classes=model.classes.count,
        pixels=model.pixels,
        usage=pipeline_usage(model, Path(folder.name)),
        described=model.classes.describe(),
        origin=json.dumps(model.origin, indent=1),
    )
