"""`sendvae evaluate generation|reconstruction|latents|compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sendvae.cli.evaluate_latents import latents
from sendvae.cli.evaluating import KEPT, Cache, Force, Output, Overrides, PrintOption, finish, folder_name
from sendvae.cli.stopping import interruptible
from sendvae.errors import UserError

app = typer.Typer(
    help="Measure samples, reconstructions and latent spaces; compare results.", no_args_is_help=True
)

SAMPLING = "sampling."  # begins the changes of how a run is sampled
FEATURES_HELP = (
    "Feature network: inception, inception-pytorch-fid, mobilenet-v2 (works offline), dinov2-b or dinov2-l."
    " Default: the protocol's."
)


@app.command()
def generation(
    samples: Annotated[
        str,
        typer.Argument(
            help="A run, which is sampled first; or .npz (arr_0), folder, .tar, .zip, prepared shards,"
            " hf-hub:OWNER/NAME."
        ),
    ],
    reference: Annotated[
        str, typer.Option(help="Real images, of the same kinds; or ADM's .npz with mu, sigma, mu_s, sigma_s.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value changes of the protocol; sampling.key=value of a run's sampling."),
    ] = None,
    features: Annotated[str | None, typer.Option(help=FEATURES_HELP)] = None,
    protocol: Annotated[str, typer.Option(help="Preset or YAML file.")] = "evaluate/adm",
    sampling: Annotated[
        str | None, typer.Option(help="Preset or YAML file by which a run is sampled; default: sample/paper.")
    ] = None,
    output: Output = None,
    force: Force = False,
    cache: Cache = Path("runs/cache"),
    print_config: PrintOption = False,
) -> None:
    """Measure samples: gFID, sFID, IS, precision and recall, as ADM's evaluator does, without TensorFlow.

    With another network than Inception the distance carries its name: it is not an FID. Where a run is given, its
    samples are drawn first, into RUN/samples-....npz; if the command is killed, the same command goes on. The result
    says how the samples were drawn. Results of different rules for labels are not compared.

    Examples:

        sendvae evaluate generation runs/sit --reference VIRTUAL_imagenet256_labeled.npz --sampling sample/paper-guided

        sendvae evaluate generation runs/sit --reference embedded:emoji --protocol evaluate/embedded sampling.images=2000

        sendvae evaluate generation samples.npz --reference VIRTUAL_imagenet256_labeled.npz

        sendvae evaluate generation samples/ --reference data/imagenet256 --features dinov2-l

        sendvae evaluate generation samples.npz --reference embedded:emoji --features mobilenet-v2

        torchrun --nproc-per-node 8 --no-python -- sendvae evaluate generation samples.npz --reference ref.npz
    """
    from sendvae.cli.checks import read_config
    from sendvae.cli.outputs import output_folder
    from sendvae.config import GenerationConfig, SampleConfig, to_yaml

    own = [word for word in overrides or [] if not word.startswith(SAMPLING)]
    changes = [*own, *([f"features={features}"] if features else [])]
    config = read_config(GenerationConfig, protocol, changes)
    sampling_changes = [w.removeprefix(SAMPLING) for w in overrides or [] if w.startswith(SAMPLING)]
    drawn = read_config(SampleConfig, sampling or "sample/paper", sampling_changes)
    if print_config:
        typer.echo(to_yaml(config))
        return
    from sendvae.cli.notes import warnings_as_notes
    from sendvae.distributed import process_group
    from sendvae.evaluation import measure_generation
    from sendvae.evaluation.diffusion_model import is_diffusion_run
    from sendvae.evaluation.generation import check_reference
    from sendvae.evaluation.networks import load_network

    from_run = is_diffusion_run(samples)
    if not from_run and (sampling or sampling_changes):
        raise UserError(
            "sampling is settled: these are samples",
            given=samples,
            next_step="leave --sampling and sampling.* out, or name a run",
        )
    name, also = folder_name(samples), [drawn.model_dump_json()] if from_run else []
    with (
        interruptible(KEPT),
        output_folder("generation", name, [samples, reference], config, output, force, also) as folder,
        process_group() as device,
        warnings_as_notes(),
    ):
        network, source = None, samples
        if from_run:
            from sendvae.evaluation.sample_job import samples_of_run

            network = load_network(config.features, device)  # may fail, so it comes before long work
            check_reference(reference, config)
            source = str(samples_of_run(samples, drawn, device))
        result = measure_generation(source, reference, config, device, cache=cache, network=network)
        finish(result, folder)


@app.command()
def reconstruction(
    tokenizer: Annotated[str, typer.Argument(help="Name, file, folder, run or hf-hub: repository.")],
    data: Annotated[str, typer.Option(help="Folder, .tar, .zip, prepared shards, or embedded:emoji.")],
    overrides: Overrides = None,
    features: Annotated[str | None, typer.Option(help=FEATURES_HELP)] = None,
    protocol: Annotated[
        str, typer.Option(help="Preset or YAML file; evaluate/lightningdit for VA-VAE's numbers.")
    ] = "evaluate/send-vae",
    output: Output = None,
    force: Force = False,
    cache: Cache = Path("runs/cache"),
    print_config: PrintOption = False,
) -> None:
    """Measure reconstructions: rFID, PSNR, SSIM and LPIPS of a tokenizer.

    Also writes the scores of each image as CSV, and a gallery of the worst ones.

    Examples:

        sendvae evaluate reconstruction runs/send-vae --data imagenet/val

        sendvae evaluate reconstruction runs/send-vae --data imagenet/val --protocol evaluate/lightningdit

        sendvae evaluate reconstruction demo-f8d16 --data embedded:emoji --protocol evaluate/embedded-reconstruction
    """
    from sendvae.cli.checks import read_config
    from sendvae.cli.outputs import output_folder
    from sendvae.config import ReconstructionConfig, to_yaml

    changes = [*(overrides or []), *([f"features={features}"] if features else [])]
    config = read_config(ReconstructionConfig, protocol, changes)
    if print_config:
        typer.echo(to_yaml(config))
        return
    from sendvae.distributed import process_group
    from sendvae.evaluation import measure_reconstruction

    inputs = [tokenizer, data]
    name = folder_name(tokenizer)
    with (
        interruptible(KEPT),
        output_folder("reconstruction", name, inputs, config, output, force) as folder,
    ):
        with process_group() as device:
            result = measure_reconstruction(tokenizer, data, config, device, folder=folder, cache=cache)
        finish(result, folder)


app.command()(latents)


@app.command()
def compare(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULT", help="Two or more results.json, or their folders.")
    ],
) -> None:
    """Put results side by side.

    Results of different protocols, data or numbers of images are refused.

    Example:

        sendvae evaluate compare runs/evaluate/generation-a runs/evaluate/generation-b
    """
    from rich.console import Console

    from sendvae.evaluation.results import Result
    from sendvae.evaluation.tables import print_comparison

    if len(results) < 2:
        raise UserError("nothing to compare with", given=results[0], expected="two results or more")
    print_comparison([Result.load(path) for path in results], [str(path) for path in results], Console())
