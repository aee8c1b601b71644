"""Writes checkpoints in the background, atomically; the training waits only until its state is copied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed import ProcessGroup

from sendvae.distributed import any_sharded, barrier, is_main, local, main_value, second_group
from sendvae.errors import MachineError, UserError
from sendvae.files import flush_file, new_folder
from sendvae.runs.checkpoint import STATE, TENSORS, checkpoint_folders, is_milestone
from sendvae.runs.progress import say

Groups = Mapping[str, Mapping[str, Tensor]]


def save_checkpoint(
    folder: Path,
    step: int,
    images_seen: int,
    tensors: Groups,
    state: Mapping[str, Any],
    keep_last: int = 2,
    milestone: bool = False,
) -> Path:
    """Write one checkpoint, and return when it is there; arguments and errors are those of `CheckpointWriter`."""
    with CheckpointWriter(folder, keep_last) as writer:
        return writer.save(step, images_seen, tensors, state, milestone)


class CheckpointWriter:
    """Writes checkpoints `step-NNNNNNNNN/` whole or not at all, one at a time, from a thread of its own.

    The error of a failed write is raised by the next call. The end of the context waits for the last write, unless
    `KeyboardInterrupt` ends it.

    Every process of a group calls each method. The main one writes, and of sharded tensors each its part; the others
    do not wait for it.

    Args:
        folder: the run's `checkpoints`.
        keep_last: how many of the newest stay, besides milestones.
    """

    def __init__(self, folder: Path, keep_last: int = 2) -> None:
        if keep_last < 1:
            raise ValueError(f"keep_last must be at least 1, got {keep_last}")
        self.folder, self.keep_last = folder, keep_last
        self._copies = HostCopies()
        self._group: ProcessGroup | None = None
        self._writing: _Writing | None = None

    def save(
        self,
        step: int,
        images_seen: int,
        tensors: Groups,
        state: Mapping[str, Any],
        milestone: bool = False,
    ) -> Path:
        """Copy the state, begin to write it, and return where it will be; a write under way is waited for first.

        Args:
            step: the number of the checkpoint.
            images_seen: the number of images that the training has seen.
            tensors: the tensors by group (a network, an optimiser, an average): one safetensors file each, or a folder
                of shards (torch.distributed.checkpoint) where FSDP has sharded it.
            state: what is not a tensor, as JSON.
            milestone: whether this one stays for good.

        Raises:
            UserError: the write before this one failed, as when the disk is full; older checkpoints are intact.
        """
        self._finish()
        path = self.folder / f"step-{step:09d}"
        document = {"step": step, "images_seen": images_seen, "milestone": milestone, "state": dict(state)}
        document = json.loads(json.dumps(document))  # now: the training goes on with the lists in it
        sharded = {group for group, named in tensors.items() if any_sharded(named.values())}
        if sharded and self._group is None:
            self._group = second_group()
        copied = self._copies.of({g: named for g, named in tensors.items() if is_main() or g in sharded})
        if copied:
            meeting = self._group if sharded else None
            self._writing = _Writing(lambda: _write(path, copied, document, self.keep_last, meeting))
            self._writing.start()
        return path

    def is_writing(self) -> bool:
        """Return whether a write of this process is under way."""
        return self._writing is not None and self._writing.is_alive()

    def check(self) -> None:
        """Raise what the last write has failed with; do not wait for one under way.

        Raises:
            UserError: as of `save`.
        """
        if not self.is_writing():
            self._finish()

    def wait(self) -> None:
        """Wait until the last checkpoint is there, on every process.

        Raises:
            UserError: it could not be written.
        """
        self._finish()
        barrier()

    def _finish(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.join()
            if writing.error is not None:
                raise writing.error

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.wait()
        elif not isinstance(error, KeyboardInterrupt):
            try:
                self._finish()
            except UserError as failed:
                say(str(failed))


class HostCopies:
    """Copies tensors to host memory, which later copies reuse; it is pinned for tensors on a GPU."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, str], Tensor] = {}

    def of(self, tensors: Groups) -> dict[str, dict[str, Tensor]]:
        """Return copies, contiguous, of sharded tensors this process's shards; they change with the next call."""
        copied = {
            group: {name: self._copy((group, name), tensor.detach()) for name, tensor in named.items()}
            for group, named in tensors.items()
        }
        for device in {tensor.device for named in tensors.values() for tensor in named.values()}:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        return copied

    def _copy(self, key: tuple[str, str], tensor: Tensor) -> Tensor:
        buffer = self._buffers.get(key)
        if buffer is None or (buffer.shape, buffer.dtype) != (tensor.shape, tensor.dtype):
            layout = torch.contiguous_format
            buffer = torch.empty_like(tensor, device="cpu", memory_format=layout, pin_memory=tensor.is_cuda)
            self._buffers[key] = buffer
        local(buffer).copy_(local(tensor), non_blocking=tensor.is_cuda)
        return buffer


class _Writing(Thread):
    """A write in a daemon thread, and the error that it failed with."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="checkpoint", daemon=True)
        self.work = work
        self.device = (
            torch.cuda.current_device() if torch.cuda.is_initialized() else -1
        )  # a thread begins with 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with torch.cuda.device(self.device):
                self.work()
        except BaseException as error:
            self.error = error


def _write(
    path: Path, groups: Groups, document: Mapping[str, Any], keep_last: int, meeting: ProcessGroup | None
) -> None:
    """Write a checkpoint, then remove older ones.

    Args:
        path: the folder of the checkpoint.
        groups: the tensors by group, on the host.
        document: the content of the file of state, which names the files of tensors, too.
        keep_last: the number of checkpoints that stay.
        meeting: the meeting of the processes that write it; None for a single process.
    """
    try:
        with _shared_folder(path, meeting) as temporary:
            for group, named in groups.items():
                if any_sharded(named.values()):
                    from sendvae.runs.shards import save_shards

                    save_shards(temporary / group, named, meeting)
                else:
                    save_file(dict(named), temporary / f"{group}.safetensors")
            if is_main():
                files = sorted(file.relative_to(temporary).as_posix() for file in temporary.rglob(TENSORS))
                text = json.dumps({**document, "files": files}, indent=1)
                (temporary / STATE).write_text(text + "\n")
                for file in temporary.rglob("*.*"):
                    flush_file(file)
    except (OSError, SafetensorError) as error:
        raise MachineError(
            f"the checkpoint {path.name} could not be written",
            given=f"{path}: {error}",
            next_step="make room and run the same command again; the checkpoint before it is intact",
        ) from error
    if is_main():
        for old in checkpoint_folders(path.parent)[:-keep_last]:
            if not is_milestone(old):
                shutil.rmtree(old)


@contextmanager
def _shared_folder(path: Path, meeting: ProcessGroup | None) -> Iterator[Path]:
    """Enter `new_folder` on the main process and share its path; it is renamed once all processes have written."""
    with ExitStack() as stack:
        temporary = None
        if is_main():
            for unfinished in path.parent.glob(".step-*"):  # left by a killed process
                shutil.rmtree(unfinished)
            temporary = stack.enter_context(new_folder(path))
        shared = main_value(temporary, meeting) if meeting is not None else temporary
        assert shared is not None
        yield shared
        if meeting is not None:
            barrier(meeting)
