"""README's tables of what works are those of the registries."""

from __future__ import annotations

from pathlib import Path

from tools.support_table import BEGIN, END, README, generator_rows, tables, tokenizer_rows, write

from sendvae.diffusion import GENERATORS, SIZES
from sendvae.tokenizers import TOKENIZERS
from sendvae.tokenizers.diffusers_families import FAMILIES


def test_readme_has_the_tables_of_the_registries() -> None:
    """If it has not: python -m tools.support_table."""
    assert README.read_text().count(BEGIN) == 1
    assert tables() in README.read_text()


def test_every_row_of_every_registry_is_in_them() -> None:
    _, *rows = tokenizer_rows()
    assert sorted(name for row in rows for name in row[1].split(", ") if name[0] == "`") == sorted(
        f"`{name}`" for name in TOKENIZERS
    )
    assert all(any(kind in row[0] for row in rows) for kind in FAMILIES)
    _, *generators = generator_rows()
    assert [row[0] for row in generators] == [f"`{name}`" for name in GENERATORS]
    assert sum(len(row[1].split(", ")) for row in generators) == len(SIZES)


def test_what_they_say_is_what_the_rows_say() -> None:
    rows = {row[0].partition(":")[0].strip("`"): row for row in tokenizer_rows()}
    for tokens in ("MAETok", "SoftVQ"):
        assert rows[tokens][2:] == ("yes", "–", "–", "–", "yes")
    assert rows["AutoencoderDC"][2:] == ("yes", "yes", "–", "–", "yes")
    (native,) = (row for title, row in rows.items() if title.startswith("VAE of latent-diffusion"))
    assert native[2:] == ("yes", "yes", "yes", "yes", "yes")


def test_writing_keeps_what_stands_around(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(readme)
    assert readme.read_text() == f"before\n{tables()}\nafter\n"
