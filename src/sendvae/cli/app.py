"""`sendvae app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def app(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Tokenizers (names, files, folders, runs, hf-hub: repositories) and diffusion runs or their"
            " checkpoints. Default: what ships, and the six newest finished runs below runs/.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port to listen on. Default: 7860, or the next free one."),
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder of cached attribute probes and latents.")] = Path(
        "runs/cache"
    ),
) -> None:
    """Look at tokenizers and diffusion models in the browser, on this machine alone.

    Drop a picture and see what every tokenizer makes of it; draw samples of several diffusion models from the same
    noise and watch the images form; see what a linear probe reads in a latent; walk from one picture to another. The
    app needs no network and listens on 127.0.0.1 only. Ctrl-C ends it.

    Examples:

        sendvae app

        sendvae app demo-f8d16 runs/demo/send-vae --port 8000

        sendvae app runs/sit-plain runs/sit-send-vae
    """
    from sendvae.extras import require

    require("app", "the app")
    from sendvae.app.serve import free_port, served, wait

    chosen = free_port(port)

    from sendvae.cli.notes import warnings_as_notes
    from sendvae.distributed import process_group

    with process_group() as device, warnings_as_notes():
        from sendvae.app.answers import Answers
        from sendvae.app.models import open_models

        opened = open_models(models or [], device)

        def build(folder: Path) -> object:
            from sendvae.app.interface import build

            return build(Answers(opened, device, cache), folder)

        with served(build, chosen) as address:
            typer.echo(f"open {address} (Ctrl-C ends it)")
            wait()
    typer.echo("stopped", err=True)
