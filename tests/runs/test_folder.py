"""A run folder holds one run, worked on by one process."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sendvae.errors import MachineError, UserError
from sendvae.runs import RunFolder, remove_empty, try_folder

CONFIG = {"seed": 0, "data": {"limit": None}, "loop": {"images": 5, "rates": [1e-6, 2.0]}}


def prepare(
    path: Path,
    config: dict[str, object],
    environment: dict[str, object] | None = None,
    exports: tuple[str, ...] = (),
) -> None:
    """Opens the folder as a run that writes a checkpoint."""
    with RunFolder(path).prepare(config, environment or {}, exports) as run:
        (run.checkpoints / "step-000000001").mkdir(parents=True, exist_ok=True)


def test_the_configuration_is_recorded_once(tmp_path: Path) -> None:
    folder = tmp_path / "deep/er"
    prepare(folder, CONFIG, {"python": "3"})
    prepare(folder, CONFIG, {"python": "4"})  # resumes
    assert yaml.safe_load((folder / "config.yaml").read_text()) == CONFIG
    assert json.loads((folder / "environment.json").read_text()) == {"python": "3"}


def test_another_configuration_is_refused_with_every_difference(tmp_path: Path) -> None:
    prepare(tmp_path, CONFIG)
    other = {"seed": 0, "loop": {"images": 6, "rates": [1e-6, 3.0]}, "ema": 0.9}
    with pytest.raises(UserError) as error:
        prepare(tmp_path, other)
    text = str(error.value)
    given, expected = text.index("given:"), text.index("expected:")
    for field in ("loop.images=6", "loop.rates=[1e-06, 3.0]", "ema=0.9"):
        assert given < text.index(field) < expected
    for field in ("loop.images=5", "loop.rates=[1e-06, 2.0]", "ema=None"):
        assert text.index(field) > expected
    assert "seed" not in text
    assert "limit" not in text  # absent and None are the same
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == CONFIG


def test_many_differences_are_counted(tmp_path: Path) -> None:
    prepare(tmp_path, {f"f{i}": 0 for i in range(11)})
    with pytest.raises(UserError, match="f7=1 and 3 more"):
        prepare(tmp_path, {f"f{i}": 1 for i in range(11)})


def test_two_processes_never_share_a_folder(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from sendvae.runs import RunFolder\nwith RunFolder(Path({str(tmp_path)!r})).prepare({{}}, {{}}): pass"
    with (
        RunFolder(tmp_path).prepare({}, {}),
        pytest.raises(UserError, match="another process"),
        RunFolder(tmp_path).prepare({}, {}),
    ):
        pass
    with RunFolder(tmp_path).prepare({}, {}):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another process" in other.stderr
    prepare(tmp_path, {})  # released


def test_the_lock_is_released_on_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), RunFolder(tmp_path).prepare({}, {}):
        raise RuntimeError
    prepare(tmp_path, {})


def test_further_processes_of_a_run_do_not_compete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunFolder(tmp_path).prepare(CONFIG, {}):
        monkeypatch.setattr("sendvae.runs.folder.is_main", lambda: False)
        with RunFolder(tmp_path).prepare({}, {}) as run:
            assert run.path == tmp_path


@pytest.mark.parametrize("deep", ["new", "new/run"])
def test_a_start_that_fails_leaves_no_trace(deep: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), RunFolder(tmp_path / deep).prepare(CONFIG, {}):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("precious")
    with pytest.raises(RuntimeError), RunFolder(tmp_path / "mine").prepare(CONFIG, {}):
        raise RuntimeError
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_run_that_fails_later_keeps_its_record(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), RunFolder(tmp_path / "run").prepare(CONFIG, {}) as run:
        _fail_after_writing(run.journal_path)
    assert RunFolder(tmp_path / "run").configuration() == CONFIG


def _fail_after_writing(path: Path) -> None:
    path.write_text("{}")
    raise RuntimeError


def test_a_start_without_work_does_not_bind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As after kill -9 while features were computed, or before the first checkpoint."""
    with RunFolder(tmp_path).prepare(CONFIG, {"python": "3"}) as run:
        run.journal_path.write_text("{}")
        run.checkpoints.mkdir()
    corrected = {**CONFIG, "seed": 1}
    with RunFolder(tmp_path).prepare(corrected, {"python": "4"}):
        pass
    assert "nothing was trained there; it takes the new seed=1" in capsys.readouterr().err
    assert RunFolder(tmp_path).configuration() == corrected
    assert json.loads((tmp_path / "environment.json").read_text()) == {"python": "4"}
    for name in ("checkpoints/step-000000008/state.json", "run.json", "seed-0/plain/run.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        with pytest.raises(UserError, match="another configuration"):
            prepare(tmp_path, CONFIG)
        path.unlink()


def longer(images: int, **changes: object) -> dict[str, object]:
    return {**CONFIG, "loop": {**CONFIG["loop"], "images": images}, **changes}  # type: ignore[dict-item]


def test_a_run_is_lengthened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(tmp_path, CONFIG, exports=("sit", "tokenizer"))
    (tmp_path / "sit").mkdir()
    (tmp_path / "sit/model.safetensors").write_text("weights")
    prepare(tmp_path, longer(9), exports=("sit", "tokenizer"))
    assert "lengthened from 5 to 9 images" in capsys.readouterr().err
    assert RunFolder(tmp_path).configuration() == longer(9)
    assert not (tmp_path / "sit").exists()
    assert (tmp_path / "sit-at-5/model.safetensors").read_text() == "weights"
    prepare(tmp_path, longer(9), exports=("sit", "tokenizer"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("config", "exports", "words"),
    [
        (longer(4), ("sit",), "another configuration"),
        (longer(9, seed=1), ("sit",), "another configuration"),
        (longer(9), (), "another configuration"),
    ],
)
def test_nothing_else_is_lengthening(
    config: dict[str, object], exports: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    prepare(tmp_path, CONFIG)
    (tmp_path / "sit").mkdir()
    with pytest.raises(UserError, match=words):
        prepare(tmp_path, config, exports=exports)
    assert RunFolder(tmp_path).configuration() == CONFIG
    assert (tmp_path / "sit").is_dir()


def test_free_fields_do_not_bind(tmp_path: Path) -> None:
    """They change how fast a run is; every other field still has to be the same, beside one of them, too."""
    prepare(tmp_path, CONFIG)
    free = {**CONFIG["loop"], "threads": 2}  # type: ignore[dict-item]
    with RunFolder(tmp_path).prepare({**CONFIG, "loop": free}, {}, free=["loop.threads"]):
        pass
    with pytest.raises(UserError, match=r"another configuration(?s:.*)given: +loop.threads=2"):
        prepare(tmp_path, {**CONFIG, "loop": free})
    with pytest.raises(UserError, match=r"given: +seed=7\n"):
        RunFolder(tmp_path).prepare(
            {**CONFIG, "seed": 7, "loop": free}, {}, free=["loop.threads"]
        ).__enter__()


def test_a_cosine_has_its_end(tmp_path: Path) -> None:
    cosine = {"optimizer": {"schedule": "cosine"}}
    prepare(tmp_path, {**CONFIG, **cosine}, exports=("sit",))
    with pytest.raises(UserError, match=r"cannot be lengthened(?s:.*)falls to 0 at 5 images"):
        prepare(tmp_path, longer(9, **cosine), exports=("sit",))
    assert RunFolder(tmp_path).configuration() == {**CONFIG, **cosine}


def test_folders_are_tried(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file/below", Path("/proc/sendvae")):
        with pytest.raises(UserError, match="nothing can be written into"):
            try_folder(bad)
        with pytest.raises(UserError, match="nothing can be written into"):
            prepare(bad, CONFIG)
    made = try_folder(tmp_path / "a/b")
    assert made == [tmp_path / "a/b", tmp_path / "a"]
    assert try_folder(tmp_path / "a/b") == []
    (tmp_path / "a/kept").write_text("")
    remove_empty(made)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["kept"]


def test_layout(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    paths = (
        run.config_path,
        run.environment_path,
        run.journal_path,
        run.checkpoints,
        run.samples,
        run.report_path,
    )
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "config.yaml", "environment.json", "metrics.jsonl", "checkpoints", "samples", "report.html",
    ]  # fmt: skip


@pytest.mark.parametrize("content", [b"a: b\n", b"model: 3\n", b"model:\n"])
def test_a_field_that_is_not_recorded_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(b"model: SiT-S/2\n")
    assert RunFolder(tmp_path).recorded("model") == "SiT-S/2"
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"config.yaml is damaged(?s:.*)model: (None|3)"):
        RunFolder(tmp_path).recorded("model")


@pytest.mark.parametrize("content", [b"[", b"\xff\xfe", b"- 1\n", b"", b"a: \0\n"])
def test_a_damaged_configuration_is_named(tmp_path: Path, content: bytes) -> None:
    prepare(tmp_path, CONFIG)
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"config.yaml is damaged(?s:.*)--run"):
        prepare(tmp_path, CONFIG)
    assert (tmp_path / "config.yaml").read_bytes() == content  # which may still tell something


def test_the_machines_faults_are_told_from_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as users:
        try_folder(tmp_path / "file")
    assert users.value.exit_code == 2

    def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "x")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(MachineError, match=r"nothing can be written(?s:.*)Read-only"):
        try_folder(tmp_path / "new")
    assert not (tmp_path / "new").exists()
