"""One process by default; two that talk by gloo."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from sendvae import distributed
from sendvae.errors import MachineError, UserError

LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHER:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "variables", [{}, {"WORLD_SIZE": "1", "RANK": "0"}], ids=["plain", "torchrun of one"]
)
def test_one_process_needs_no_group(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tensor = torch.tensor([1.0, 2.0])
    with distributed.process_group():
        assert not dist.is_initialized()
        assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
        distributed.barrier()
        for result in (distributed.all_reduce_mean(tensor), distributed.broadcast(tensor)):
            assert torch.equal(result, tensor)
            assert result.data_ptr() != tensor.data_ptr()


def test_an_incomplete_launcher_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match=r"LOCAL_RANK, MASTER_ADDR, MASTER_PORT(?s:.*)torchrun"):
        distributed.process_group().__enter__()
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UserError, match="WORLD_SIZE is not a number"):
        distributed.process_group().__enter__()


def _two_processes(folder: Path) -> None:
    """What torchrun runs in each process."""
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    with distributed.process_group() as device:
        assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
        assert (distributed.rank(), distributed.world_size()) == (rank, 2)
        assert distributed.is_main() == (rank == 0)

        mine = torch.arange(6.0).view(2, 3).T * (rank + 1)  # not contiguous
        untouched = mine.clone()
        mean = distributed.all_reduce_mean(mine)
        assert torch.equal(mean, torch.arange(6.0).view(2, 3).T * 1.5)
        assert torch.equal(mine, untouched)
        assert float(distributed.all_reduce_mean(torch.tensor(float(rank)))) == 0.5
        assert not distributed.all_reduce_mean(torch.ones(1, requires_grad=True)).requires_grad

        whole = torch.tensor([rank + 7])
        assert distributed.broadcast(whole).tolist() == [7]
        assert distributed.broadcast(whole, source=1).tolist() == [8]
        assert whole.tolist() == [rank + 7]

        if distributed.is_main():  # nothing inside waits for the other, who never comes here
            with distributed.single_process():
                assert (distributed.rank(), distributed.world_size()) == (0, 1)
                assert torch.equal(distributed.all_reduce_mean(mine), mine)
                distributed.barrier()
        assert distributed.world_size() == 2

        if distributed.is_main():
            time.sleep(0.5)
            (folder / "main").touch()
        distributed.barrier()
        assert (folder / "main").exists()
        (folder / f"done-{rank}").touch()
    assert not dist.is_initialized()
    assert distributed.world_size() == 1


def test_two_processes_of_torchrun(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # Through one address of this machine: in a bare container the host's name may not resolve.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [*torchrun, "--local-addr", "127.0.0.1", __file__, str(tmp_path)],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"main", "done-0", "done-1"}


def _one_dies() -> None:
    """What two processes do of which the second ends without a word."""
    torch.set_num_threads(1)
    try:
        with distributed.process_group():
            distributed.barrier()
            if not distributed.is_main():
                os._exit(0)
            distributed.barrier()
    except MachineError as lost:
        print(lost)


def test_a_process_whose_other_one_is_dead_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": "", "WORLD_SIZE": "2"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    main, other = (
        subprocess.Popen(
            [sys.executable, __file__], env=shared | {"RANK": rank, "LOCAL_RANK": rank}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for rank in "01"
    )  # fmt: skip
    said, _ = main.communicate(timeout=60)
    other.communicate(timeout=60)
    assert (main.returncode, other.returncode) == (0, 0), said
    assert "another of the 2 processes has ended" in said
    assert "run the same command again" in said


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (RuntimeError("a bug"), RuntimeError),
        (
            RuntimeError("[/x/third_party/gloo/gloo/pair.cc:1] Read error: Connection reset by peer"),
            MachineError,
        ),
        (dist.DistNetworkError("the client socket has timed out"), MachineError),
        (UserError("a slip"), UserError),
    ],
)
def test_what_goes_wrong_between_processes_is_told_from_what_goes_wrong_in_one(
    error: Exception, becomes: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(LAUNCHER, ("0", "0", "2", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("init_process_group", "destroy_process_group"):
        monkeypatch.setattr(dist, name, lambda *_: None)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    with pytest.raises(becomes) as raised, distributed.process_group():
        raise error
    assert type(raised.value) is becomes


if __name__ == "__main__":
    _two_processes(Path(sys.argv[1])) if len(sys.argv) > 1 else _one_dies()
