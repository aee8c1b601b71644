"""Stages as jobs of a Slurm cluster, through submitit."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sendvae.config import SubmititConfig
from sendvae.errors import UserError
from sendvae.experiments.graph import JOBS
from sendvae.experiments.launchers.launcher import Launcher
from sendvae.experiments.process import LOG, Child, Task, attend, last_line
from sendvae.extras import require
from sendvae.files import write_text
from sendvae.signals import blocked_signals

JOB = "job.json"  # in a stage's folder: the number of the job that does the stage
REQUEUES = 1000  # the most times that a job whose time was too short is queued again
LOOK_SECONDS = 60  # between two questions to Slurm about jobs that left no result
NEEDED = ("sbatch", "srun", "scancel")


def check_submitit(config: SubmititConfig) -> None:
    """Check that submitit is installed, and Slurm's commands if jobs go to Slurm.

    Raises:
        UserError: submitit or Slurm's commands are not there.
    """
    require("submitit", "--launcher submitit")
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing and config.executor == "slurm":
        raise UserError(
            "--launcher submitit needs Slurm",
            given=f"not found: {', '.join(missing)}",
            next_step="run it where jobs are submitted from; or try it on this machine: --launcher-option executor=local",
        )


@contextmanager
def open_submitit(config: SubmititConfig, folder: Path) -> Iterator[Launcher]:
    """Open the launcher that runs stages as jobs of Slurm, or as processes in place of jobs with `executor=local`."""
    import submitit

    if config.executor == "local":
        executor = submitit.LocalExecutor(folder / JOBS)
        executor.update_parameters(
            timeout_min=config.minutes,
            signal_delay_s=config.warning,
            gpus_per_node=config.gpus,
            setup=config.setup,
        )
        yield Jobs(executor, config, LocalJob)
        return
    from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

    SlurmJob.watcher = SlurmInfoWatcher(delay_s=LOOK_SECONDS)
    executor = submitit.SlurmExecutor(folder / JOBS, max_num_timeout=REQUEUES)
    executor.update_parameters(**_slurm_parameters(config))
    yield Jobs(executor, config, Job)


def _slurm_parameters(config: SubmititConfig) -> dict[str, Any]:
    given = {
        "partition": config.partition,
        "account": config.account,
        "qos": config.qos,
        "constraint": config.constraint,
        "mem": f"{config.memory * 1024:.0f}MB" if config.memory is not None else None,
        "gpus_per_node": config.gpus or None,
        "setup": list(config.setup) or None,
        "additional_parameters": dict(config.sbatch) or None,
    }
    return {
        "time": config.minutes,
        "signal_delay_s": config.warning,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": config.cpus,
        **{name: value for name, value in given.items() if value is not None},
    }


class Attendant:
    """The work of a job: it does a stage, and is queued again if its time is over before the stage is done."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.child: Child | None = None

    def __call__(self) -> str | None:
        """Do the stage; return why it failed, or None if it is done."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the submitting process
        self.child = Child(self.task)
        return attend(self.task, signal.SIGTERM, self.child)

    def checkpoint(self) -> Any:
        """Let the stage write its checkpoint, and return a submission that goes on from it. submitit calls this."""
        from submitit.helpers import DelayedSubmission

        if self.child is not None:
            self.child.stop()
            self.child.join()
        return DelayedSubmission(Attendant(self.task))


class Jobs:
    """The launcher that hands stages to submitit.

    Args:
        executor: the executor of submitit.
        config: the options of the launcher.
        kind: the class of its jobs, `Job` or `LocalJob`.
    """

    def __init__(self, executor: Any, config: SubmititConfig, kind: type[Job]) -> None:
        self.executor, self.threads, self.kind = executor, config.cpus, kind

    def start(self, task: Task) -> Job:
        """Submit a stage, or return the job that an earlier run submitted for it if it has not ended."""
        return self.kind.find(self.executor, task) or self.kind.submit(self.executor, task)

    def wait(self, works: Sequence[Job], seconds: float) -> None:
        """Wait for `seconds`."""
        del works
        time.sleep(seconds)


class Job:
    """A job of Slurm that does a stage.

    Args:
        job: the job of submitit.
        task: the task of the stage.
    """

    def __init__(self, job: Any, task: Task) -> None:
        self.job, self.task = job, task

    @classmethod
    def find(cls, executor: Any, task: Task) -> Job | None:
        """Return the job that already does a stage and has not ended; None if there is none."""
        try:
            known = json.loads((task.job.folder / JOB).read_text())["slurm"]
        except (FileNotFoundError, ValueError, KeyError):
            return None
        job = executor.job_class(executor.folder, known)
        if job.done(force_check=True) or job.state == "UNKNOWN":
            return None
        return cls(job, task)

    @classmethod
    def submit(cls, executor: Any, task: Task) -> Job:
        """Submit a stage, and note the number of its job in the folder of the stage."""
        executor.update_parameters(job_name=re.sub(r"[^\w.-]+", "-", task.title))
        job = executor.submit(Attendant(task))
        write_text(task.job.folder / JOB, json.dumps({"slurm": job.job_id}) + "\n")
        return cls(job, task)

    def ended(self) -> bool:
        """Return whether the job has left a result, or is over by what its process or Slurm says."""
        return self.job.paths.result_pickle.exists() or self.job.done()

    def reason(self) -> str:
        """Return the last line of the stage's log, or how the job ended if it left no result."""
        if self.job.paths.result_pickle.exists():
            return last_line(self.task.job.folder / LOG) or "it ended without a result"
        return f"job {self.job.job_id} ended as {self.job.state}; what it said: {self.job.paths.stderr}"

    def stop(self) -> None:
        """Take the job back if it still waits, else send it SIGTERM, which asks the stage to end."""
        subprocess.run(["scancel", "--state=PENDING", self.job.job_id], check=False)
        subprocess.run(["scancel", "--signal=TERM", self.job.job_id], check=False)

    def kill(self) -> None:
        """End the job, if it has not ended."""
        if not self.ended():
            subprocess.run(["scancel", self.job.job_id], check=False)


class LocalJob(Job):
    """A process in place of a job. Later runs cannot find it, but the stage's lock keeps it the only one at work."""

    @classmethod
    def find(cls, executor: Any, task: Task) -> Job | None:
        """Return None: a second process waits for the first one, and then finds the result."""
        del executor, task
        return None

    @classmethod
    def submit(cls, executor: Any, task: Task) -> Job:
        """Start the process. A Ctrl-C meanwhile is held back until the process is there."""
        with blocked_signals({signal.SIGINT}):
            return cls(executor.submit(Attendant(task)), task)

    def stop(self) -> None:
        """Send SIGTERM to the process, which asks the stage to end."""
        with suppress(ProcessLookupError):
            os.kill(int(self.job.job_id), signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process, if it has not ended; the stage ends with it."""
        if not self.ended():
            os.kill(int(self.job.job_id), signal.SIGKILL)
