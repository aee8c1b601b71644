"""The operating system's refusals in words."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from urllib.error import URLError

import pytest

from sendvae.errors import MachineError, UserError
from sendvae.faults import WORDS, fault_of
from sendvae.files import new_file, new_folder, write_text

TRIED = "sendvae data prepare"
OF_MACHINE = {"ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE", "ENOMEM", "EBUSY"}
OF_USER = {"ENOENT", "EISDIR", "ENOTDIR", "EEXIST", "ENAMETOOLONG", "ELOOP"}


def found(error: BaseException) -> UserError:
    fault = fault_of(error, TRIED)
    assert fault is not None
    return fault


@pytest.mark.parametrize("name", sorted(OF_MACHINE | OF_USER))
def test_each_number_names_the_path_and_a_way_out(name: str, tmp_path: Path) -> None:
    number = getattr(errno, name)
    path = tmp_path / "some-file"
    fault = found(OSError(number, os.strerror(number), str(path)))
    assert fault.exit_code == (1 if name in OF_MACHINE else 2)
    assert isinstance(fault, MachineError) == (name in OF_MACHINE)
    assert fault.next_step
    assert str(path) in fault.problem or name == "ENOMEM"


def test_every_number_has_a_sentence_with_and_without_a_path() -> None:
    for number in WORDS:
        for path in ("/a/b", None):
            message = str(found(OSError(number, os.strerror(number), path)))
            assert "{" not in message
            assert "None" not in message
            assert os.strerror(number) in message


def test_a_full_disk_says_how_much_is_free_there(tmp_path: Path) -> None:
    fault = found(OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "new" / "file")))
    assert f"MB free in {tmp_path}" in str(fault)
    nameless = found(OSError(errno.ENOSPC, "No space left on device"))
    assert TRIED in nameless.problem
    assert f"MB free in {Path.cwd()}" in str(nameless)


def test_a_link_that_leads_nowhere_is_named_with_where_it_leads(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    with pytest.raises(FileNotFoundError) as raised:
        link.read_bytes()
    assert str(found(raised.value)).startswith(f"{link} is a link that leads nowhere\n  given:    nowhere")


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (MemoryError(), 1, "memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            1,
            "9 bytes",
        ),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 1, "room"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), 1, "network"),
        (TimeoutError("timed out"), 1, "network"),
        (URLError("no answer"), 1, "network"),
        (ValueError("embedded null byte"), 2, "null byte"),
    ],
)
def test_what_libraries_raise_is_told_alike(error: Exception, code: int, word: str) -> None:
    fault = found(error)
    assert fault.exit_code == code
    assert word in str(fault)


def test_a_name_that_is_not_utf8_is_shown_with_escapes() -> None:
    with pytest.raises(UnicodeEncodeError) as raised:
        os.fsdecode(b"caf\xe9.png").encode()
    assert "'caf\\udce9.png'" in str(found(raised.value))
    shown = str(found(OSError(errno.EACCES, "Permission denied", b"/caf\xe9")))
    assert shown.encode()  # can be printed


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), ValueError("a bug"), KeyError("a bug"), OSError("a bug")]
)
def test_a_bug_stays_a_bug(error: Exception) -> None:
    assert fault_of(error, TRIED) is None


def test_a_long_path_does_not_fill_the_screen() -> None:
    assert len(found(OSError(errno.ENAMETOOLONG, "File name too long", "x" * 5000)).problem) < 200


def test_a_write_that_is_refused_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full") as in_file, new_file(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(OSError, match="full") as in_folder, new_folder(tmp_path / "b") as folder:
        raise OSError(errno.ENOSPC, "full", str(folder / "inside"))
    with pytest.raises(FileNotFoundError) as nowhere:
        write_text(tmp_path / "no" / "c", "text")
    with pytest.raises(OSError, match="full") as other, new_file(tmp_path / "d"):
        raise OSError(errno.ENOSPC, "full", "/another")
    assert [error.value.filename for error in (in_file, in_folder, nowhere, other)] == [
        str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "no" / "c"), "/another"
    ]  # fmt: skip
    assert not list(tmp_path.iterdir())
