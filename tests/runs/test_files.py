"""Files and folders appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendvae.files import new_folder, write_text


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with new_folder(tmp_path / "f") as temporary:
            (temporary / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with new_folder(tmp_path / "f") as temporary:
            (temporary / content).write_text(content)
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_failed_text_leaves_the_old_one(tmp_path: Path) -> None:
    write_text(tmp_path / "t", "a")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "t", "\ud800")
    assert (tmp_path / "t").read_text() == "a"
    write_text(tmp_path / "t", "b")
    assert (tmp_path / "t").read_text() == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
