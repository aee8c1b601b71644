"""Which answer belongs to which component, and what is said where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from tests.evaluation.samplable import save_run, small_tokenizer

from sendvae.app.answers import Answers
from sendvae.app.drawing import Order
from sendvae.app.interface import build
from sendvae.app.models import open_models
from sendvae.app.refusal import Refusal
from sendvae.errors import UserError
from sendvae.tokenizers import save_tokenizer

CPU = torch.device("cpu")
SECRET = "/home/somebody/secret"


class Asked(Answers):
    """Writes down what it is asked, or raises."""

    asked: list[tuple[Any, ...]]
    error: Exception | None = None

    def _write(self, *question: Any) -> str:
        self.__dict__.setdefault("asked", []).append(question)
        if self.error is not None:
            raise self.error
        return "an answer"

    def reconstruct(self, *question: Any) -> str:
        return self._write("reconstruct", *question)

    def read(self, *question: Any) -> str:
        return self._write("read", *question[:3])  # the last one is told the progress

    def interpolate(self, *question: Any) -> str:
        return self._write("interpolate", *question)

    def draw(self, order: Order) -> Iterator[str | None]:
        for part in ("first", None, "second"):
            if part:
                self._write("draw", order)
            yield part


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("interface")
    save_tokenizer(small_tokenizer(), folder / "vae")
    save_run(folder / "a", folder / "vae")
    return Answers(open_models([str(folder / "a")], CPU), CPU, folder)


@pytest.fixture
def asked(answers: Answers) -> Asked:
    return Asked(answers.models, CPU, answers.cache)


@pytest.fixture
def page(asked: Asked, tmp_path: Path) -> dict[str, Callable[..., Any]]:
    """What is called for each part of the page that shows an answer."""

    async def built() -> Any:  # without a running loop, gradio makes some and leaves them open
        return build(asked, tmp_path)

    found = {}
    for one in asyncio.run(built()).fns.values():
        for shown in one.outputs:
            if one.fn is not None and getattr(shown, "elem_id", None):
                found[shown.elem_id] = one.fn
    assert set(found) == {"reconstructions", "samples", "attributes", "strips"}
    return found


def upload(folder: Path, name: str) -> dict[str, str]:
    (folder / name).touch()
    return {"path": str(folder / name)}


def questions(folder: Path) -> dict[str, tuple[Any, ...]]:
    one, other = upload(folder, "one.png"), upload(folder, "other.png")
    return {
        "reconstructions": (one, ["vae"], 64, "crop"),
        "samples": (["a"], [2, 1], 3.5, 7, 5, 11),
        "attributes": (one, "vae", "pad"),
        "strips": (one, other, ["vae"], 6, "pad"),
    }


def test_every_choice_arrives_at_its_place(
    page: dict[str, Callable[..., Any]], asked: Asked, tmp_path: Path
) -> None:
    for name, values in questions(tmp_path).items():
        answer = page[name](*values)
        assert answer == "an answer" if name != "samples" else list(answer) == ["first", gr.skip(), "second"]
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    order = Order(["a"], [2, 1], guidance=3.5, steps=7, seed=11, images=5)
    assert asked.asked == [
        ("reconstruct", one, ["vae"], 64, "crop"),
        ("draw", order),
        ("draw", order),
        ("read", one, "vae", "pad"),
        ("interpolate", one, other, ["vae"], 6, "pad"),
    ]


def test_previews_are_shown_as_they_come(
    page: dict[str, Callable[..., Any]], asked: Asked, tmp_path: Path
) -> None:
    shown = page["samples"](*questions(tmp_path)["samples"])
    assert next(shown) == "first"
    assert len(asked.asked) == 1


@pytest.mark.parametrize("name", ["reconstructions", "samples", "attributes", "strips"])
@pytest.mark.parametrize("error", [UserError("no", given=SECRET), ValueError(SECRET)])
def test_no_message_names_a_path_of_the_machine(
    page: dict[str, Callable[..., Any]],
    asked: Asked,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    error: Exception,
) -> None:
    asked.__dict__["error"] = error
    answer = page[name](*questions(tmp_path)[name])
    said = answer if isinstance(answer, str) else "".join(answer)
    assert "Next: the terminal in which the app runs says what." in said
    assert SECRET not in said
    assert SECRET in capsys.readouterr().err


@pytest.mark.parametrize("name", ["reconstructions", "samples", "attributes", "strips"])
def test_what_one_can_mend_is_said(
    page: dict[str, Callable[..., Any]], asked: Asked, tmp_path: Path, name: str
) -> None:
    asked.__dict__["error"] = Refusal("the picture is <odd>")
    answer = page[name](*questions(tmp_path)[name])
    said = answer if isinstance(answer, str) else "".join(answer)
    assert "The picture is &lt;odd&gt;." in said


def test_files_that_nobody_uploaded_are_none(
    page: dict[str, Callable[..., Any]], asked: Asked, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = upload(tmp_path_factory.mktemp("elsewhere"), "photo.png")
    page["reconstructions"](elsewhere, ["vae"], 64, "crop")
    page["attributes"](elsewhere, "vae", "crop")
    page["strips"](elsewhere, elsewhere, ["vae"], 6, "crop")
    assert [question[1] for question in asked.asked] == [None, None, None]
