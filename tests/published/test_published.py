"""Published numbers: facts by protocol, each in one place; spot values as printed; no protocol meets another."""

from __future__ import annotations

import re

import pytest

from sendvae.errors import UserError
from sendvae.published import PUBLISHED, TABLES, reported
from sendvae.published.documents import DOCUMENTS, Document
from sendvae.tokenizers import TOKENIZERS


@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_are_of_tokenizers_that_we_know(name: str) -> None:
    protocol = PUBLISHED[name]
    names = [row.tokenizer for row in protocol.rows.values() if row.tokenizer is not None]
    assert len(set(names)) == len(names)
    assert set(names) <= TOKENIZERS.keys()
    for row in protocol.rows.values():
        assert row.values.keys() <= set(protocol.metrics)
        assert all(0 < value < 400 for value in row.values.values())
        assert protocol.description in row.source


@pytest.mark.parametrize(
    ("reference", "values"),
    [
        ("send-vae-systems/maskgit", {"fid": 6.18, "is": 182.1, "precision": 0.80, "recall": 0.51}),
        ("send-vae-systems/repa-800", {"fid": 5.90, "sfid": 5.73, "is": 157.8, "precision": 0.7, "recall": 0.69}),
        ("send-vae-systems/mdt-v2", {}),
        ("send-vae-systems/send-vae-800", {"fid": 1.75, "sfid": 4.41, "is": 218.57, "precision": 0.79, "recall": 0.64}),
        ("send-vae-systems-guided/send-vae-800", {"fid": 1.21, "sfid": 4.10, "is": 315.1, "precision": 0.79, "recall": 0.66}),
        ("send-vae-systems-guided/var", {"fid": 1.80, "is": 365.4, "precision": 0.83, "recall": 0.57}),
        ("send-vae-systems-guided/e2e-vae-80", {"fid": 1.67, "sfid": 4.12, "is": 266.3, "precision": 0.80, "recall": 0.63}),
        ("send-vae-sit-b1-80/depth-0", {"fid": 9.20, "sfid": 7.06, "is": 104.2, "precision": 0.73, "recall": 0.57}),
        ("send-vae-sit-b1-80/clip", {"fid": 9.85, "sfid": 5.59, "is": 100.8, "precision": 0.71, "recall": 0.62}),
        ("send-vae-sit-b1-80/f16d64-align", {"fid": 10.99, "sfid": 5.17, "is": 94.11, "precision": 0.69, "recall": 0.62}),
        ("send-vae-sit-b2-512/sdvae-align", {"fid": 13.32, "sfid": 4.75, "is": 93.15, "precision": 0.78, "recall": 0.60}),
        ("send-vae-reconstruction/e2e-vae", {"rfid": 0.28, "psnr": 27.63, "lpips-vgg": 0.110, "ssim": 0.77}),
        ("send-vae-f1-deepfashion/send-vae", {"f1": 0.1385}),
        ("send-vae-f1-awa/vavae", {"f1": 0.5948}),
        ("repa-e-joint-80-guided/invae", {"fid": 1.61}),
        ("later-systems/gae-800", {"fid": 1.31}),
    ],
)  # fmt: skip
def test_spot_values(reference: str, values: dict[str, float]) -> None:
    assert reported(reference).values == values


def test_systems_say_what_they_are() -> None:
    row = reported("send-vae-systems/magvit-v2")
    assert row.facts == {"generator": "MagViT-v2", "epochs": 1080, "parameters": "307M"}
    assert row.source.startswith("Send-VAE paper, Table 1; ")
    assert len(TABLES["table1"].rows) == 19  # every system of the paper


def test_a_table_shows_each_column_under_one_protocol() -> None:
    for name, table in TABLES.items():
        shown = {(c.protocol, c.metric) for c in table.columns}
        assert len(shown) == len(table.columns), name
        for column in table.columns:
            assert column.metric in PUBLISHED[column.protocol].metrics
            assert any(table.value(row, column) is not None for row in table.rows), (name, column)
        for row in table.rows:
            assert any(table.value(row, column) is not None for column in table.columns), (name, row)


def test_tables_print_what_the_paper_prints() -> None:
    def line(table: str, row: str) -> list[float | None]:
        return [TABLES[table].value(row, column) for column in TABLES[table].columns]

    assert line("table8", "invae") == [0.6222, 0.0786, 0.5567, 17.43]
    assert line("table7", "send-vae") == [0.31, 27.62, 0.101, 0.77, 7.57]
    assert line("table5", "invae-align") == [0.28, 8.25, 4.68, 105.2, 0.74, 0.60]
    assert line("table2", "no-noise") == line("table3", "no-noise") == [8.42, 5.05, 108.3, 0.74, 0.60]
    # A system's rFID is that of its tokenizer, and another system's rFID is nobody's.
    assert line("table1", "fastdit")[:2] == [0.61, 7.91]
    assert line("table1", "dit")[:2] == [None, 9.62]
    assert line("table1", "send-vae-80")[:2] == [0.31, 2.88]
    assert line("table1", "mdt-v2") == [None, *[None] * 5, 1.58, 4.52, 314.7, 0.79, 0.65]
    assert line("table6-512", "sdvae")[0] == 23.59
    assert line("table6", "sdvae")[0] == 21.41


def test_every_row_that_is_printed_says_in_which_table() -> None:
    for name, protocol in PUBLISHED.items():
        if not name.startswith("send-vae"):
            continue
        for key, row in protocol.rows.items():
            assert re.match(r"Send-VAE paper, Tables? \d", row.source), (name, key, row.source)


def test_gfids_are_found_by_name_in_the_order_asked_for() -> None:
    names = ["e2e-vavae-f16d32", "mine", "invae-f16d32"]
    assert PUBLISHED["send-vae-sit-b1-80"].known(names) == [8.96, None, 17.43]
    assert PUBLISHED["ifid-sit-xl"].known(names) == [None, None, 25.65]
    assert PUBLISHED["ifid-sit-b"].known(names) == [None, None, 49.17]


def test_rows_of_many_tokenizers_are_linked_to_ours() -> None:
    """To the weights that the source's own configurations name; those of four are not in our table."""
    ours = ["sdvae-f8d4", "flux1-f8d16", "qwen-image-f8d16", "sd3.5-f8d16", "invae-f16d32", "vavae-f16d32", "softvq-l-64",
            "maetok-b-128", "e2e-sdvae-f8d4", "rae-dinov2-b"]  # fmt: skip
    xl = [25.91, 34.06, 23.62, 26.38, 25.65, 8.57, 15.88, 6.27, 12.95, 4.25]
    base = [46.74, 63.32, 48.34, 51.39, 49.17, 17.63, 29.11, 13.73, 26.06, None]
    assert PUBLISHED["ifid-sit-xl"].known(ours) == xl
    assert PUBLISHED["ifid-sit-b"].known(ours) == base
    for name, count in (("ifid-sit-xl", 14), ("ifid-sit-b", 13)):
        rows = PUBLISHED[name].rows.values()
        assert len(rows) == count
        assert {row.tokenizer for row in rows} - {None} <= set(ours)


def test_what_nobody_reports_is_refused() -> None:
    with pytest.raises(UserError, match=r"no gFID of these(?s:.*)runs/a, demo-f8d16(?s:.*)vavae-f16d32"):
        PUBLISHED["ifid-sit-b"].known(["runs/a", "demo-f8d16"])
    with pytest.raises(UserError, match="no gFID of these"):  # F1 is no gFID
        PUBLISHED["send-vae-f1-awa"].known(["invae-f16d32"])
    with pytest.raises(UserError, match="unknown published protocol"):
        PUBLISHED["send-vae"]


def test_a_slip_of_the_pen_in_a_file_is_an_error() -> None:
    text = DOCUMENTS[0].model_dump()
    text["protocols"]["p"] = {
        "description": "d",
        "metrics": ["fid"],
        "rows": {"a": {"label": "a", "value": [1]}},
    }
    with pytest.raises(ValueError, match="value"):
        Document.model_validate(text)
