"""`sendvae models`."""

from __future__ import annotations


def models() -> None:
    """List what can be loaded: names, sources, licences.

    Example:

        sendvae models
    """
    from rich.console import Console
    from rich.table import Table

    from sendvae.data import open_embedded
    from sendvae.experiments.demo_texts import NETWORKS
    from sendvae.tokenizers import TOKENIZERS
    from sendvae.vision import BACKBONES

    table = Table("kind", "name", "source", "licence", box=None, header_style="bold")
    for name, spec in TOKENIZERS.items():
        table.add_row("tokenizer", name, spec.source, spec.licence)
    for name, spec in BACKBONES.items():
        table.add_row("vision backbone", name, spec.source, spec.licence)
    for network in NETWORKS[1:]:
        table.add_row(network.role, network.name, network.source, network.licence)
    console = Console()
    console.print(table)
    console.print("\n[bold]embedded images[/bold] (embedded:emoji)")
    for line in open_embedded("emoji", "train").licences:
        console.print(f"  {line}", highlight=False)
