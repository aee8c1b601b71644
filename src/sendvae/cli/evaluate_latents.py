"""`sendvae evaluate latents`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sendvae.cli.evaluating import KEPT, Cache, Force, Output, PrintOption, finish, folder_name
from sendvae.cli.stopping import interruptible
from sendvae.errors import UserError


def latents(
    tokenizers: Annotated[
        list[str],
        typer.Argument(
            metavar="TOKENIZER|KEY=VALUE",
            help="Names, files, folders, runs or hf-hub: repositories; then key=value changes of the protocol.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="Images: embedded:emoji, prepared shards, or celeba:FOLDER, deepfashion:FOLDER, awa2:FOLDER, table:FOLDER."
        ),
    ] = None,
    attributes: Annotated[
        Path | None,
        typer.Option(
            help="CSV file of table:FOLDER: path of the image, then a column of 1 and 0 for each attribute."
        ),
    ] = None,
    gfid: Annotated[
        list[str] | None,
        typer.Option(
            help="Known gFID of a tokenizer; repeat it for each in their order, '-' where it is to be predicted."
        ),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            metavar="PROTOCOL",
            help="Take the gFIDs that a paper reports: send-vae-sit-b1-80, ifid-sit-xl or ifid-sit-b.",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Compare with the tokenizers of a study, by its protocol: tiny.",
        ),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Preset or YAML file. Default: evaluate/latents, or the study's.")
    ] = None,
    output: Output = None,
    force: Force = False,
    cache: Cache = Path("runs/cache"),
    keep: Annotated[
        bool,
        typer.Option("--keep/--no-cache", help="Keep latents on disk, or encode the images for every pass."),
    ] = True,
    print_config: PrintOption = False,
) -> None:
    """Score latent spaces: attribute probing, semantic gap, uniformity, discrimination and more.

    With several tokenizers, every score's difference from the first one's is shown with its interval. Where gFIDs are
    known, every score is correlated with them, with p and interval; where three or more are known, those of the other
    tokenizers are predicted. --study says what generation to expect at the scale of a study, and how sure that is.

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
    name = folder_name(names[0]) if len(names) == 1 else f"{len(names)}-tokenizers"
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
        finish(result, folder)


def _known(names: list[str], gfid: list[str] | None, published: str | None) -> list[float | None]:
    """Return the gFIDs of tokenizers, as given or as published, None where one is unknown.

    Raises:
        UserError: both options are given, a given gFID is no number, or none of the tokenizers has a published one.
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
