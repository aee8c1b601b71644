"""The checks and the upload of `sendvae export --push-to-hub`."""

from __future__ import annotations

from pathlib import Path

import typer

from sendvae.errors import UserError

CARD = "README.md"


def check_hub(repository: str | None, private: bool, dry_run: bool) -> None:
    """Check that an upload can work before anything is written.

    Raises:
        UserError: the repository's name is none, nobody is logged in, the hub does not answer, or options of the
            upload are given without a repository.
    """
    if repository is None:
        if private or dry_run:
            given = "--private" if private else "--dry-run"
            raise UserError(f"{given} belongs to --push-to-hub", next_step="add --push-to-hub OWNER/NAME")
        return
    from sendvae.weights.publish import check_login, check_repository

    check_repository(repository)
    if not dry_run:
        typer.echo(f"logged in at the hub as {check_login()}", err=True)


def push(folder: Path, repository: str | None, private: bool, dry_run: bool) -> None:
    """Upload an export that states its licence, or with `dry_run` only list its files. Do nothing without a repository.

    Raises:
        UserError: the export states no licence, or the hub refuses the upload.
    """
    if repository is None:
        return
    from sendvae.weights.publish import publish

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    typer.echo(f"\n{repository}: {len(files)} files, {size / 1e6:.1f} MB")
    for path in files:
        typer.echo(f"  {path.relative_to(folder)}  {path.stat().st_size:,} bytes")
    if not _states_licence(folder / CARD):
        raise UserError(
            "an upload states the licence of its weights",
            given=f"{folder / CARD} has none",
            next_step="add --licence, for example --licence mit --force",
        )
    if dry_run:
        typer.echo("nothing was uploaded (--dry-run)")
        return
    typer.echo(f"uploaded: {publish(folder, repository, private)}")


def _states_licence(card: Path) -> bool:
    """Return whether the header of a model card names a licence, as the hub reads it."""
    lines = card.read_text().splitlines()
    header = lines[1 : lines.index("---", 1)] if lines[:1] == ["---"] and "---" in lines[1:] else []
    return any(line.startswith("license:") for line in header)
