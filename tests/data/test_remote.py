"""Prepared images on other file systems: the same samples, by ranges, at any position."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
import torch
from tests.data.pictures import write_folder

from sendvae.data import ShardImages, batch_indices, open_images
from sendvae.data.byte_ranges import ByteRanges, Piece
from sendvae.data.prepare import Preparation, Recipe
from sendvae.errors import UserError

COUNT = 20


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    names = [f"{i % 3}/{i:02d}.png" for i in range(COUNT)]
    write_folder(folder / "source", names)
    table = folder / "t.csv"
    table.write_text("\n".join(["image,even", *(f"{name},{i % 2}" for i, name in enumerate(names))]) + "\n")
    Preparation(str(folder / "source"), folder / "out", Recipe(8, shard_size=6), table=table).run()
    return folder / "out"


class Server(SimpleHTTPRequestHandler):
    """A file server that understands `Range: bytes=a-b`, and counts what it sent."""

    ranges = True
    disable_nagle_algorithm = True  # it waits 40 ms between head and body
    sent: list[tuple[str, int]]

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data, wanted = path.read_bytes(), self.headers.get("Range")
        if wanted and self.ranges:
            first, last = map(int, wanted.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            data = data[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.sent.append((path.name, len(data)))
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


class ServerWithoutRanges(Server):
    ranges = False


class Listener(ThreadingHTTPServer):
    request_queue_size = 64  # a connection beyond the default of 5 is tried again after a second


def serve(kind: type[Server], folder: Path) -> Iterator[str]:
    kind.sent = []
    server = Listener(("127.0.0.1", 0), partial(kind, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def http(prepared: Path) -> Iterator[str]:
    yield from serve(Server, prepared)


@pytest.fixture
def http_without_ranges(prepared: Path) -> Iterator[str]:
    yield from serve(ServerWithoutRanges, prepared)


@pytest.fixture
def memory(prepared: Path) -> Iterator[str]:
    system = fsspec.filesystem("memory")
    system.put(str(prepared) + "/", "/prepared", recursive=True)
    yield "memory://prepared"
    system.rm("/prepared", recursive=True)


@pytest.mark.parametrize("kind", ["memory", "http"])
def test_the_same_images_from_anywhere(prepared: Path, kind: str, request: pytest.FixtureRequest) -> None:
    location = request.getfixturevalue(kind)
    local, remote = open_images(str(prepared), "train"), open_images(location, "train")
    assert isinstance(local, ShardImages)
    assert isinstance(remote, ShardImages)
    assert remote.fingerprint == local.fingerprint
    order = [7, 0, 19, 3, 7]
    assert torch.equal(remote.batch(order).images, local.batch(order).images)
    assert torch.equal(remote[5].image, local[5].image)
    assert remote.attributes.values.tolist() == local.attributes.values.tolist()


def test_a_resumed_run_goes_on_at_its_position(http: str) -> None:
    """Batches of a run in one piece equal those of one that opens the data anew before each."""
    whole = open_images(http, "train")
    for seen in range(0, 3 * COUNT, 8):
        indices = batch_indices(seen, 8, COUNT, seed=1)
        resumed = open_images(http, "train").batch(batch_indices(seen, 8, COUNT, seed=1))
        assert torch.equal(resumed.images, whole.batch(indices).images)


def test_only_the_samples_travel(http: str) -> None:
    images = open_images(http, "train")
    assert isinstance(images, ShardImages)
    Server.sent.clear()
    images.batch([0, 19])
    sizes = images.index.sizes[[0, 19]].tolist()
    assert sorted(size for _, size in Server.sent) == sorted(sizes)


def test_a_server_without_ranges_is_named(http_without_ranges: str) -> None:
    images = open_images(http_without_ranges, "train")
    with pytest.raises(UserError, match="supports range requests"):
        images.batch([1])


def test_missing_and_short_shards(prepared: Path, tmp_path: Path) -> None:
    files = ByteRanges(str(prepared), ["images-00000.tar", "none.tar"])
    with pytest.raises(UserError, match="a shard is missing"):
        files.read([Piece(1, 0, 1)])
    size = (prepared / "images-00000.tar").stat().st_size
    with pytest.raises(UserError, match="does not give the bytes"):
        files.read([Piece(0, size - 1, 2)])
    with pytest.raises(UserError, match="no images"):
        open_images(str(tmp_path), "train")


def test_a_manifest_cannot_point_elsewhere(prepared: Path, tmp_path: Path) -> None:
    manifest = (prepared / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(manifest.replace("images-00000.tar", "../../etc/passwd"))
    with pytest.raises(UserError, match="outside its folder"):
        open_images(str(tmp_path), "train")


def test_readers_travel_to_other_processes_and_keep_few_files_open(tmp_path: Path) -> None:
    names = [f"{i}.bin" for i in range(200)]
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes([i]))
    before = len(list(Path("/proc/self/fd").iterdir()))
    files = pickle.loads(pickle.dumps(ByteRanges(str(tmp_path), names)))
    assert files.read([Piece(i, 0, 1) for i in range(200)]) == [bytes([i]) for i in range(200)]
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 128
    del files
    assert len(list(Path("/proc/self/fd").iterdir())) == before
