"""The launchers that can run the stages of an experiment, with a row of a table for each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial

from sendvae.config import LocalConfig, RayConfig, SubmititConfig, kind_of, load_config
from sendvae.experiments.launchers.launcher import Launcher, LauncherKind, Work
from sendvae.experiments.launchers.local import check_local, open_local
from sendvae.experiments.launchers.ray_tasks import check_ray, open_ray
from sendvae.experiments.launchers.submitit_jobs import check_submitit, open_submitit
from sendvae.registry import Registry, unknown_name

FOLDER = "launchers/"  # of the presets
LOCAL = "local"

LAUNCHERS: Registry[LauncherKind] = Registry(
    "launcher",
    {
        LOCAL: LauncherKind(LocalConfig, check_local, open_local),
        "ray": LauncherKind(RayConfig, check_ray, open_ray),
        "submitit": LauncherKind(SubmititConfig, check_submitit, open_submitit),
    },
)


def load_launcher(
    name: str = LOCAL, options: Sequence[str] = ()
) -> partial[AbstractContextManager[Launcher]]:
    """Return a function that opens a launcher for the folder of an experiment.

    Args:
        name: the name of a launcher, or a YAML file with its `kind` and options.
        options: changes of the options, as "key=value".

    Raises:
        UserError: there is no such launcher, an option is wrong, or this machine lacks something that it needs.
    """
    if name not in LAUNCHERS and not name.endswith((".yaml", ".yml")):
        raise unknown_name("launcher", name, list(LAUNCHERS))
    source = f"{FOLDER}{name}" if name in LAUNCHERS else name
    row = LAUNCHERS[kind_of(source) or "none"]
    config = load_config(row.config, source, options)
    row.check(config)
    return partial(row.open, config)


__all__ = ["LAUNCHERS", "LOCAL", "Launcher", "LauncherKind", "Work", "load_launcher"]
