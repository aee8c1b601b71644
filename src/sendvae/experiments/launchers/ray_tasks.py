"""Stages as tasks of a Ray cluster."""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sendvae.config import RayConfig
from sendvae.errors import UserError
from sendvae.experiments.launchers.launcher import Launcher
from sendvae.experiments.process import Task, attend
from sendvae.extras import require

FOUND_BY_RAY = {"auto", "local"}  # words that Ray takes in place of an address
PATIENCE = 3.0  # seconds that a head may take to answer
GIB = 2**30


def check_ray(config: RayConfig) -> None:
    """Check that Ray is installed, and that something listens at the address.

    Raises:
        UserError: Ray is not installed, the address is none, or nothing listens there.
    """
    require("ray", "--launcher ray")
    if config.address not in FOUND_BY_RAY:
        _check_answer(config.address)


@contextmanager
def open_ray(config: RayConfig, folder: Path) -> Iterator[Launcher]:
    """Open the launcher that runs stages as tasks of a Ray cluster.

    Raises:
        UserError: the cluster does not answer, or no node has what a stage asks for.
    """
    import ray

    del folder
    try:
        ray.init(config.address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_answer(config.address, str(error).strip().partition("\n")[0]) from None
    try:
        _check_nodes(config, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        yield RayTasks(config)
    finally:
        ray.shutdown()


def _check_answer(address: str) -> None:
    """Raise a `UserError` at once for an address at which nothing listens, since Ray itself would try for long."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(
            "launcher option 'address' is no address", given=address, expected="HOST:PORT, auto or local"
        )
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, str(error)) from None


def _no_answer(address: str, why: str) -> UserError:
    return UserError(
        "no Ray cluster answers",
        given=f"address={address}: {why}",
        expected="a head that runs",
        next_step="start one (ray start --head), name it (--launcher-option address=HOST:PORT), or take a node of this"
        " machine for this run (--launcher-option address=local)",
    )


def _check_nodes(config: RayConfig, nodes: Sequence[dict[str, float]]) -> None:
    """Raise a `UserError` if no node has what a stage asks for, since Ray would wait for such a node."""
    wanted = {"CPU": float(config.cpus), "GPU": config.gpus, **config.resources}
    wanted["memory"] = (config.memory or 0.0) * GIB
    if not any(all(node.get(name, 0.0) >= count for name, count in wanted.items()) for node in nodes):
        largest = max(nodes, key=lambda node: (node.get("GPU", 0.0), node.get("CPU", 0.0)), default={})
        raise UserError(
            "no node of the Ray cluster has what a stage asks for",
            given=f"cpus={config.cpus}, gpus={config.gpus:g}, memory={config.memory}, resources={config.resources}",
            expected=f"at most what a node has; of {len(nodes)} the largest: {largest.get('CPU', 0):g} CPUs,"
            f" {largest.get('GPU', 0):g} GPUs, {largest.get('memory', 0) / GIB:.1f} GB",
            next_step="ask for less with --launcher-option, or add a node",
        )


class RayTasks:
    """The launcher that hands stages to a Ray cluster. Each stage has a worker of its own, which ends with it."""

    def __init__(self, config: RayConfig) -> None:
        import ray

        self.threads = config.cpus
        options: dict[str, Any] = {
            "num_cpus": config.cpus,
            "num_gpus": config.gpus,
            "memory": int(config.memory * GIB) if config.memory is not None else None,
            "resources": dict(config.resources),
            "max_calls": 1,  # a worker's GPUs are those of its first task
            "max_retries": 0,
        }
        self._attend = ray.remote(**options)(attend)

    def start(self, task: Task) -> RayTask:
        """Hand a stage to the cluster."""
        return RayTask(self._attend.options(name=task.title).remote(task, signal.SIGINT))

    def wait(self, works: Sequence[RayTask], seconds: float) -> None:
        """Wait until a task has ended, but no longer than `seconds`."""
        import ray

        waiting = [work.reference for work in works if not work.ended()]
        if waiting and len(waiting) == len(works):
            ray.wait(waiting, timeout=seconds, fetch_local=False)
        elif not works:
            time.sleep(seconds)


class RayTask:
    """A stage that a Ray cluster has taken."""

    def __init__(self, reference: Any) -> None:
        self.reference = reference

    def ended(self) -> bool:
        """Return whether the result or the failure of the task is known."""
        import ray

        return bool(ray.wait([self.reference], timeout=0, fetch_local=False)[0])

    def reason(self) -> str:
        """Return the reason that the stage gives, or Ray's error about its worker."""
        import ray

        try:
            return ray.get(self.reference) or "it ended without a result"
        except ray.exceptions.RayError as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

    def stop(self) -> None:
        """Interrupt the worker, which asks the stage to end. A task that still waits for a worker is taken back."""
        import ray

        ray.cancel(self.reference, force=False)

    def kill(self) -> None:
        """End the worker and the stage with it."""
        import ray

        if not self.ended():
            ray.cancel(self.reference, force=True)
