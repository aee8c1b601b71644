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

    table = Table("kind", "name", "licence", "source", box=None, header_style="bold")
    for name, spec in TOKENIZERS.items():
        table.add_row("tokenizer", name, spec.licence, spec.source)
    for name, spec in BACKBONES.items():
        table.add_row("vision backbone", name, spec.licence, spec.source)
    for network in NETWORKS[1:]:
        table.add_row(network.role, network.name, network.licence, network.source)
    console = Console()
    table.columns[3].overflow = "fold"
    console.print(table)
    console.print("\n[bold]embedded images[/bold] (embedded:emoji)")
    for line in open_embedded("emoji", "train").licences:
        console.print(f"  {line}", highlight=False, soft_wrap=True)
