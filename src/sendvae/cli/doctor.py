"""`sendvae doctor`."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import typer

from sendvae.cli.cache import CacheOption

ENOUGH = 2 * 2**30  # free bytes, more than a demo's run and caches take
SHOWN = ("torch", "torchvision", "timm", "transformers", "numpy", "pillow")


@dataclass(frozen=True)
class Line:
    """A line with one fact about the machine.

    Attributes:
        fault: what is wrong, and how to mend it; empty where nothing is wrong.
    """

    group: str
    name: str
    text: str
    fault: str = ""


def doctor(
    cache: CacheOption = Path("runs/cache"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for programs.")] = False,
) -> None:
    """Show versions, devices, what can be loaded, free disk, and what is missing with the way to get it.

    It ends with 0 where everything that training and sampling need is there, else with 1. What is optional is
    shown and is no fault.

    Examples:

        sendvae doctor

        sendvae doctor --json
    """
    lines = [*_packages(), *_devices(), *_extras(), *_networks(), *_disk(cache)]
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        _show(lines)
    if any(line.fault for line in lines):
        raise typer.Exit(1)


def _packages() -> Iterator[Line]:
    """Yield lines on this package, Python, the packages in `SHOWN`, and every requirement that is not met."""
    from sendvae.runs import describe_environment

    yield Line("versions", "sendvae", f"{version('sendvae')} (commit {describe_environment()['commit']})")
    yield Line("versions", "python", platform.python_version())
    for name, (found, fault) in _requirements().items():
        if fault or name in SHOWN:
            yield Line("versions", name, found, fault)


def _requirements() -> dict[str, tuple[str, str]]:
    """Return, by name of the requirement, its installed version and what is wrong with it (empty for nothing)."""
    from packaging.requirements import Requirement

    found: dict[str, tuple[str, str]] = {}
    for requirement in map(Requirement, requires("sendvae") or []):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        wanted, way = f"{requirement.name}{requirement.specifier}", f"pip install '{requirement}'"
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            found[requirement.name] = "–", f"{wanted} is not installed: {way}"
            continue
        fits = requirement.specifier.contains(installed, prereleases=True)
        found[requirement.name] = installed, "" if fits else f"{wanted} is needed: {way}"
    return found


def _devices() -> Iterator[Line]:
    import torch

    from sendvae.cores import cores
    from sendvae.nn.precision import bf16_is_native
    from sendvae.runs import describe_environment

    bf16 = (
        "native bf16" if bf16_is_native(torch.device("cpu")) else "no native bf16: precision=auto takes fp32"
    )
    processor = describe_environment()["processor"]
    yield Line("devices", "cpu", f"{processor}, {cores()} cores, {torch.get_num_threads()} threads, {bf16}")
    for i in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(i)
        yield Line("devices", f"cuda:{i}", f"{found.name}, {found.total_memory / 2**30:.0f} GiB")
    if not torch.cuda.is_available():
        yield Line("devices", "cuda", "none")


def _extras() -> Iterator[Line]:
    from sendvae.extras import EXTRAS, absent, installing

    for name, extra in EXTRAS.items():
        missing = absent(name)
        state = f"without {', '.join(missing)}: {installing(name)}" if missing else "installed"
        yield Line("optional", f"[{name}]", f"{extra.purpose}: {state}")


def _networks() -> Iterator[Line]:
    """Yield a line for every kind of network, with the names of those whose weights are on this machine."""
    from sendvae.cli.models import networks

    kinds: dict[str, dict[str, bool]] = {}
    for kind, name, weights in networks():
        kinds.setdefault(kind, {})[name] = all(one.find() for one in weights)
    for kind, rows in kinds.items():
        here = [name for name, there in rows.items() if there]
        yield Line("weights here", f"{kind}s", f"{len(here)} of {len(rows)}: {', '.join(here) or 'none'}")


def _disk(cache: Path) -> Iterator[Line]:
    from sendvae.runs.caches import in_units

    for what, folder in {"this folder": Path.cwd(), "caches": cache.absolute()}.items():
        place = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
        free = shutil.disk_usage(place).free
        fault = (
            ""
            if free > ENOUGH
            else f"less than {in_units(ENOUGH)} free: sendvae cache prune, or another folder"
        )
        yield Line("disk", what, f"{in_units(free)} free at {folder}", fault)


def _show(lines: list[Line]) -> None:
    width = max(len(line.name) for line in lines)
    group = ""
    for line in lines:
        if line.group != group:
            group = line.group
            typer.secho(group, bold=True)
        typer.echo(f"  {line.name:{width}}  {line.text}")
    faults = [line.fault for line in lines if line.fault]
    for fault in faults:
        typer.secho(f"missing: {fault}", fg="red")
    if not faults:
        typer.echo("all that training, sampling and scoring need is there; more weights: sendvae models")
