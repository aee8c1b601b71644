"""`sendvae evaluate generation|reconstruction|latents|compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sendvae.cli.stopping import AGAIN, interruptible
from sendvae.errors import UserError

if TYPE_CHECKING:
    from sendvae.evaluation.results import Result

app = typer.Typer(
    help="Measure samples, reconstructions and latent spaces; compare results.", no_args_is_help=True
)

Overrides = Annotated[list[str] | None, typer.Argument(help="key=value changes of the protocol.")]
Output = Annotated[
    Path | None,
    typer.Option(help="Folder of results.json and pictures; default below runs/evaluate, by the inputs."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a result of other inputs in that folder.")]
Cache = Annotated[Path, typer.Option(help="Where statistics and latents are kept.")]
PrintOption = Annotated[bool, typer.Option("--print-config", help="Show the resolved protocol and leave.")]
KEPT = f"statistics, latents and samples that were finished are kept, a result only when it is whole; {AGAIN}"
SAMPLING = "sampling."  # before changes of how a run is sampled
FEATURES_HELP = "inception, inception-pytorch-fid, mobilenet-v2 (works offline), dinov2-b or dinov2-l."


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
        str, typer.Option(help="The same kinds; or ADM's .npz with mu, sigma, mu_s, sigma_s.")
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
    """gFID, sFID, IS, precision and recall, as ADM's evaluator computes them, without TensorFlow.

    With another network than Inception the distance carries its name: it is no FID. Of a run, samples that are
    missing are drawn into RUN/samples-....npz; killed at any time, the same command goes on with them. How samples of
    sendvae sample were drawn stands in the result, and results of other rules for labels do not compare.

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
    name, also = _name(samples), [drawn.model_dump_json()] if from_run else []
    with (
        interruptible(KEPT),
        output_folder("generation", name, [samples, reference], config, output, force, also) as folder,
        process_group() as device,
        warnings_as_notes(),
    ):
        network, source = None, samples
        if from_run:
            from sendvae.evaluation.sample_job import samples_of_run

            network = load_network(config.features, device)  # what may be missing, before what takes long
            check_reference(reference, config)
            source = str(samples_of_run(samples, drawn, device))
        result = measure_generation(source, reference, config, device, cache=cache, network=network)
        _finish(result, folder)


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
    """rFID, PSNR, SSIM and LPIPS of a tokenizer, each image's scores as CSV, and a gallery of the worst.

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
    name = _name(tokenizer)
    with (
        interruptible(KEPT),
        output_folder("reconstruction", name, inputs, config, output, force) as folder,
    ):
        with process_group() as device:
            result = measure_reconstruction(tokenizer, data, config, device, folder=folder, cache=cache)
        _finish(result, folder)


@app.command()
def latents(
    tokenizers: Annotated[
        list[str],
        typer.Argument(help="Names, files, folders, runs or hf-hub: repositories; then key=value changes."),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="embedded:emoji, prepared shards, or celeba:, deepfashion:, awa2:, table: FOLDER."),
    ] = None,
    attributes: Annotated[
        Path | None,
        typer.Option(help="CSV file of table:FOLDER: image, then a column of 1 and 0 per attribute."),
    ] = None,
    gfid: Annotated[
        list[str] | None,
        typer.Option(help="Known gFID of each tokenizer, in their order; '-' where it is to be predicted."),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            metavar="PROTOCOL",
            help="Known gFIDs of tokenizers by name as published: send-vae-sit-b1-80, ifid-sit-xl, ifid-sit-b.",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Say where each stands among the tokenizers of a study, measured by its protocol: tiny.",
        ),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Preset or YAML file (evaluate/latents, or the study's).")
    ] = None,
    output: Output = None,
    force: Force = False,
    cache: Cache = Path("runs/cache"),
    keep: Annotated[
        bool, typer.Option("--keep/--no-cache", help="Keep latents on disk, or encode for every pass.")
    ] = True,
    print_config: PrintOption = False,
) -> None:
    """Attribute probing, semantic gap, uniformity and discrimination: what predicts how well a VAE generates.

    With several tokenizers, every score's difference from the first one's is shown with its interval. Where
    gFIDs are known, every score is held against them, with p and interval; with three or more known, the
    others' are predicted. A study's tokenizers say what generation to expect at its scale, and how far to trust that.

    Examples:

        sendvae evaluate latents demo-f8d16

        sendvae evaluate latents sdvae-f8d4 vavae-f16d32 e2e-vavae-f16d32 mine --data celeba:data/celeba --gfid 17.4 --gfid 11.4 --gfid 9 --gfid -

        sendvae evaluate latents sdvae-f8d4 invae-f16d32 vavae-f16d32 e2e-vavae-f16d32 mine --published send-vae-sit-b1-80 --data celeba:data/celeba

        sendvae evaluate latents runs/a runs/b --data table:photos --attributes photos.csv size=128

        sendvae evaluate latents runs/send-vae --study tiny 'scores=[attributes,gap,structure]'
    """
    from sendvae.cli.checks import read_config
    from sendvae.cli.outputs import output_folder
    from sendvae.config import LatentsConfig, to_yaml

    changes = [word for word in tokenizers if "=" in word and not Path(word).exists()]
    names = [word for word in tokenizers if word not in changes]
    changes += [f"data={data}"] if data else []
    changes += [f"attributes_file={attributes}"] if attributes else []
    if study is not None:
        from sendvae.experiments.standing import check_protocol, findings_of, protocol_of

        config = read_config(LatentsConfig, protocol or protocol_of(study), changes)
        check_protocol(study, config)
    else:
        config = read_config(LatentsConfig, protocol or "evaluate/latents", changes)
    if print_config:
        typer.echo(to_yaml(config))
        return
    known = _known(names, gfid, published)
    from sendvae.distributed import process_group
    from sendvae.evaluation import measure_latents

    if not names or len(known) != len(names):
        raise UserError(
            "tokenizers and gFIDs do not match" if names else "no tokenizer",
            given=f"{len(names)} tokenizers, {len(known)} gFIDs",
            next_step="give one --gfid per tokenizer, '-' where unknown" if names else None,
        )
    name = _name(names[0]) if len(names) == 1 else f"{len(names)}-tokenizers"
    also = [*(gfid or []), *([published] if published else []), *([f"study {study}"] if study else [])]
    with (
        interruptible(KEPT),
        output_folder("latents", name, names, config, output, force, also) as folder,
    ):
        with process_group() as device:
            latent_cache = cache if keep else None
            result = measure_latents(
                names, config.data, config, device, known=known, folder=folder, cache=latent_cache
            )
        if study is not None and result is not None:
            numbers = {s.name: {key: one.value for key, one in s.numbers.items()} for s in result.subjects}
            standing = {"standing": findings_of(study, numbers)}
            result = result.model_copy(update={"findings": result.findings | standing})
        _finish(result, folder)


@app.command()
def compare(
    results: Annotated[list[Path], typer.Argument(help="Two or more results.json, or their folders.")],
) -> None:
    """Put results side by side. Refuses those of different protocols, data or numbers of images.

    Example:

        sendvae evaluate compare runs/evaluate/generation-a runs/evaluate/generation-b
    """
    from rich.console import Console

    from sendvae.evaluation.results import Result
    from sendvae.evaluation.tables import print_comparison

    if len(results) < 2:
        raise UserError("nothing to compare with", given=results[0], expected="two results or more")
    print_comparison([Result.load(path) for path in results], [str(path) for path in results], Console())


def _finish(result: Result | None, folder: Path) -> None:
    """Table and file, from the one process that has the result."""
    if result is None:
        return
    from rich.console import Console

    from sendvae.evaluation.tables import print_result

    path = result.save(folder)
    print_result(result, Console())
    typer.echo(f"results: {path}")


def _name(source: str) -> str:
    """For folders: the last part of a path or name."""
    return Path(source.rstrip("/")).stem.replace(":", "-")


def _known(names: list[str], gfid: list[str] | None, published: str | None) -> list[float | None]:
    """Return the gFIDs that are known, as given or as published.

    Raises:
        UserError: both are asked for; or what is given is no number; or none is published.
    """
    if published is None:
        return [_gfid(value) for value in gfid] if gfid else [None] * len(names)
    if gfid:
        raise UserError(
            "--gfid and --published", given=", ".join([*gfid, published]), expected="gFIDs of one protocol"
        )
    from sendvae.published import PUBLISHED

    return PUBLISHED[published].known(names)


def _gfid(text: str) -> float | None:
    if text == "-":
        return None
    try:
        return float(text)
    except ValueError:
        raise UserError("--gfid is no number", given=text, expected="a number, or '-'") from None
