"""Size and digest of a file against those published."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sendvae.errors import UserError
from sendvae.weights import Stated

CONTENT = b"weights"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "w.pth"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
@pytest.mark.parametrize("digits", [8, 32])
def test_the_published_file_is_accepted_and_others_are_not(file: Path, algorithm: str, digits: int) -> None:
    digest = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()[:digits]}"
    Stated(len(CONTENT), digest).check(file)
    file.write_bytes(b"weighty")  # of the same size
    with pytest.raises(UserError, match=f"not the published file(?s:.*){algorithm}:(?s:.*){digest}"):
        Stated(len(CONTENT), digest).check(file)


def test_size_alone_tells(file: Path) -> None:
    Stated(7).check(file)
    with pytest.raises(UserError, match=r"7 bytes(?s:.*)8 bytes"):
        Stated(8).check(file)
    with pytest.raises(UserError, match=r"7 bytes(?s:.*)0 bytes"):
        Stated(0).check(file)


def test_where_nothing_is_stated_any_file_will_do(file: Path) -> None:
    Stated().check(file)
    assert str(Stated()) == ""
    assert str(Stated(95_628_359, "md5:d5")) == "95,628,359 bytes, md5:d5"


def test_a_digest_is_compared_from_its_beginning(file: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(UserError):
        Stated(digest=f"sha256:{digest[8:16]}").check(file)


def test_the_advice_is_the_callers(file: Path) -> None:
    with pytest.raises(UserError, match="ask its maker"):
        Stated(1).check(file, next_step="ask its maker")
