"""The page of the app: gradio's components, each connected to its answer."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import SystemRandom
from typing import Any

import gradio as gr

from sendvae.app.answers import SIDES, Answers
from sendvae.app.drawing import MAX_IMAGES, MAX_SEED, Order
from sendvae.app.fragments import fragment, message
from sendvae.app.interpolation import MAX_STEPS
from sendvae.app.refusal import Refusal
from sendvae.errors import UserError

CROP, PAD = "centre square", "all of it, on white"
FITS = [(CROP, "crop"), (PAD, "pad")]
UNKNOWN = Refusal("something went wrong", next_step="the terminal in which the app runs says what")
NO_DIFFUSION = (
    "No diffusion model is open. Name a finished run when the app is started: sendvae app RUN, or train one:"
    " sendvae train diffusion demo/sit-tiny tokenizer=demo-f8d16."
)
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "sans-serif"]
MONOSPACE = ["ui-monospace", "SFMono-Regular", "DejaVu Sans Mono", "monospace"]
ONE_PICTURE = "Drop a picture, or take an emoji."
TWO_PICTURES = "Drop two pictures, or take two emoji, and see the way between them."
UPLOADS_KEPT = 3600  # seconds
# After a stop the page keeps the last preview, and says so until something else is drawn.
STOPPED = """() => { document.querySelector("#samples").dataset.stopped = "yes"; }"""
BEGUN = """(...choices) => { delete document.querySelector("#samples").dataset.stopped; return choices; }"""
ONE_AT_A_TIME = "one at a time"  # only one computation runs at a time


def build(answers: Answers, folder: Path) -> gr.Blocks:
    """Return the page.

    Args:
        answers: the answers that the page shows.
        folder: the folder in which gradio keeps uploads. No file outside of it is opened.
    """
    page = Page(answers, folder)
    with gr.Blocks(
        title="sendvae", analytics_enabled=False, delete_cache=(UPLOADS_KEPT, UPLOADS_KEPT)
    ) as blocks:
        gr.HTML(answers.header())
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Reconstruct"):
                page.reconstruct()
            with gr.Tab("Sample"):
                page.sample()
            with gr.Tab("Attributes"):
                page.attributes()
            with gr.Tab("Interpolate"):
                page.interpolate()
    return blocks


def theme() -> gr.themes.Base:
    """Return the colours of the report's pages, in fonts that are on this machine."""
    light = {
        "body_background_fill": "#fcfcfb",
        "body_text_color": "#1d2129",
        "border_color_primary": "#e3e4e6",
    }
    dark = {
        "body_background_fill": "#14161a",
        "body_text_color": "#e8e9eb",
        "border_color_primary": "#2c3038",
    }
    return gr.themes.Base(
        primary_hue=gr.themes.colors.red, neutral_hue=gr.themes.colors.gray, font=FONTS, font_mono=MONOSPACE
    ).set(
        **light,
        **{f"{name}_dark": value for name, value in dark.items()},
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1c1f25",
        button_primary_background_fill="#b3261e",
        button_primary_background_fill_hover="#8f1d17",
        button_primary_background_fill_dark="#b3261e",
        button_primary_background_fill_hover_dark="#c93a31",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        checkbox_background_color_selected="#b3261e",
        checkbox_background_color_selected_dark="#b3261e",
        color_accent="#b3261e",
        slider_color="#b3261e",
        slider_color_dark="#ff8a80",
    )


class Page:
    """The four tabs of the page.

    Args:
        answers: the answers that the tabs show.
        folder: the folder of the uploads.
    """

    def __init__(self, answers: Answers, folder: Path) -> None:
        self.answers, self.folder = answers, folder.resolve()
        self.tokenizers = list(answers.models.tokenizers)

    def reconstruct(self) -> None:
        """Build the tab of reconstructions, which are renewed at every change."""
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                image = self._picture("Picture")
                names = self._choice("Tokenizers", self.tokenizers)
                side = gr.Dropdown(list(SIDES), value=self.answers.side, label="Side in pixels")
                fit = gr.Radio(FITS, value="crop", label="Fit")
            with gr.Column(scale=3, min_width=320):
                shown = gr.HTML(_hint(ONE_PICTURE), elem_id="reconstructions")

        def answer(upload: Any, names: Sequence[str], side: int, fit: str) -> str:
            if upload is None:
                return _hint(ONE_PICTURE)
            return self.answers.reconstruct(self._path(upload), names, side, fit)

        changes = [control.change for control in (image, names, side, fit)]
        self._follow(changes, answer, [image, names, side, fit], shown)

    def sample(self) -> None:
        """Build the tab of samples, or a hint if there is no diffusion model."""
        models = self.answers.models.diffusion
        if not models:
            gr.HTML(_hint(NO_DIFFUSION))
            return
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                chosen = self._choice("Diffusion models", list(models))
                first = next(iter(models.values())).classes
                names = first.names or tuple(map(str, range(first.count)))
                classes = gr.Dropdown(
                    [(name, number) for number, name in enumerate(names)],
                    value=[], multiselect=True, label="Classes, in turn; none: at random",
                )  # fmt: skip
                guidance = gr.Slider(1.0, 8.0, value=2.5, step=0.1, label="Guidance scale")
                steps = gr.Slider(5, 250, value=50, step=1, label="Steps")
                images = gr.Slider(1, MAX_IMAGES, value=8, step=1, label="Images")
                seed = gr.Number(0, precision=0, minimum=0, maximum=MAX_SEED, label="Seed")
                with gr.Row():
                    go = gr.Button("Sample", variant="primary", min_width=100)
                    stop = gr.Button("Stop", min_width=80)
            with gr.Column(scale=3, min_width=320):
                shown = gr.HTML(_hint("Choose classes and press Sample."), elem_id="samples")

        def answer(
            chosen: Sequence[str],
            classes: Sequence[int],
            guidance: float,
            steps: int,
            images: int,
            seed: int | None,
        ) -> Iterator[str | None]:
            yield from self.answers.draw(
                Order(chosen, classes, guidance, int(steps), int(seed or 0), int(images))
            )

        inputs = [chosen, classes, guidance, steps, images, seed]
        drawing = go.click(
            _streamed(answer), inputs, shown, js=BEGUN, show_progress="minimal", concurrency_limit=1,
            concurrency_id=ONE_AT_A_TIME, api_visibility="private",
        )  # fmt: skip
        stop.click(None, None, None, cancels=[drawing], js=STOPPED, api_visibility="private")

    def attributes(self) -> None:
        """Build the tab of attributes."""
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                image = self._picture("Picture")
                name = gr.Dropdown(self.tokenizers, value=self.tokenizers[0], label="Tokenizer")
                fit = gr.Radio(FITS, value="pad", label="Fit")
                go = gr.Button("Read attributes", variant="primary")
            with gr.Column(scale=3, min_width=320):
                shown = gr.HTML(
                    _hint(
                        "A probe is fitted once for each tokenizer, in a minute or two, and kept in the cache."
                    ),
                    elem_id="attributes",
                )

        def answer(upload: Any, name: str, fit: str, progress: gr.Progress = gr.Progress()) -> str:
            def on_progress(share: float, text: str) -> None:
                progress(share, desc=text)

            return _said(lambda: self.answers.read(self._path(upload), name, fit, on_progress))

        go.click(
            answer, [image, name, fit], shown, preprocess=False, concurrency_limit=1,
            concurrency_id=ONE_AT_A_TIME, api_visibility="private",
        )  # fmt: skip

    def interpolate(self) -> None:
        """Build the tab of interpolations, which are renewed at every change."""
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                first, last = self._picture("From"), self._picture("To")
            with gr.Column(scale=3, min_width=320):
                with gr.Row():
                    names = self._choice("Tokenizers", self.tokenizers)
                    fit = gr.Radio(FITS, value="crop", label="Fit")
                    steps = gr.Slider(2, MAX_STEPS, value=9, step=1, label="Pictures in a row")
                shown = gr.HTML(_hint(TWO_PICTURES), elem_id="strips")

        def answer(first: Any, last: Any, names: Sequence[str], steps: int, fit: str) -> str:
            if first is None or last is None:
                return _hint(TWO_PICTURES)
            return self.answers.interpolate(self._path(first), self._path(last), names, int(steps), fit)

        changes = [*(control.change for control in (first, last, names, fit)), steps.release]
        self._follow(changes, answer, [first, last, names, steps, fit], shown)

    def _picture(self, label: str) -> gr.Image:
        """Add an upload field with a button that takes an emoji instead."""
        image = gr.Image(
            label=label, type="filepath", format="png", image_mode=None, sources=["upload", "clipboard"],
            buttons=[], height=220,
        )  # fmt: skip
        emoji = gr.Button("Take an emoji", size="sm")
        emoji.click(
            lambda: self.answers.emoji(SystemRandom().randrange(2**31)), None, image, show_progress="hidden",
            api_visibility="private",
        )  # fmt: skip
        return image

    def _choice(self, label: str, names: list[str]) -> gr.CheckboxGroup:
        return gr.CheckboxGroup(names, value=names, label=label)

    def _follow(
        self, changes: Sequence[Any], answer: Callable[..., str], inputs: Sequence[Any], shown: gr.HTML
    ) -> None:
        """Answer each of some events. If several wait, only the last is answered."""
        gr.on(
            list(changes), lambda *values: _said(lambda: answer(*values)), list(inputs), shown,
            preprocess=False, trigger_mode="always_last", show_progress="minimal", concurrency_limit=1,
            concurrency_id=ONE_AT_A_TIME, api_visibility="private",
        )  # fmt: skip

    def _path(self, upload: dict[str, Any] | None) -> Path | None:
        """Return the path of an upload; None for any path outside of the uploads' folder."""
        if upload is None:
            return None
        path = Path(str(upload.get("path"))).resolve()
        return path if path.is_relative_to(self.folder) and path.is_file() else None


def _hint(text: str) -> str:
    return fragment("hint.html", text=text)


def _said(answer: Callable[[], str]) -> str:
    """Return an answer, or a message that says why there is none."""
    try:
        return answer()
    except Exception as error:
        return message(_told(error))


def _streamed(answer: Callable[..., Iterator[str | None]]) -> Callable[..., Iterator[Any]]:
    """Return a generator function that ends with a message when `answer` raises, and skips updates that are None.

    gradio can end the generator only where it yields.
    """

    def stream(*values: Any) -> Iterator[Any]:
        try:
            for part in answer(*values):
                yield gr.skip() if part is None else part
        except Exception as error:
            yield message(_told(error))

    return stream


def _told(error: Exception) -> Refusal:
    """Return the message for the browser; print any error that is no `Refusal` in the terminal."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, UserError):
        sys.stderr.write(f"error: {error}\n")
    else:
        traceback.print_exception(error)
    return UNKNOWN
