"""Unknown names: the error of a short table lists it, that of a long one the nearest entries."""

from __future__ import annotations

import re

import pytest

from sendvae.errors import UserError
from sendvae.registry import ALL_SHOWN, NEAREST_SHOWN, Registry, unknown_name


def names_in(error: UserError) -> list[str]:
    text = str(error).split("expected: one of ")[1].split("\n")[0]
    return text.split(" and ")[0].split(", ")


@pytest.mark.parametrize("count", [3, ALL_SHOWN, ALL_SHOWN + 1, 200])
def test_names_that_are_shown(count: int) -> None:
    table = Registry("thing", {f"name-{i:03}": i for i in range(count)})
    with pytest.raises(UserError, match=r"unknown thing 'nome-001'(?s:.*)did you mean 'name-001'") as error:
        table["nome-001"]
    shown = names_in(error.value)
    assert shown == sorted(shown)
    assert "name-001" in shown
    assert len(shown) == (count if count <= ALL_SHOWN else NEAREST_SHOWN)
    assert (f"and {count - NEAREST_SHOWN} more" in str(error.value)) == (count > ALL_SHOWN)


def test_a_name_like_none_has_no_advice() -> None:
    with pytest.raises(UserError) as error:
        Registry("thing", {"abc": 1})["xyz"]
    assert "did you mean" not in str(error.value)
    assert names_in(error.value) == ["abc"]


@pytest.mark.parametrize(
    ("name", "meant"), [("data.siez", "data.size"), ("data.path", None), ("dta.size", "data.size")]
)
def test_a_section_that_all_names_share_makes_none_near(name: str, meant: str | None) -> None:
    told = str(unknown_name("key", name, ["data.size", "data.split", "data.source"]))
    assert re.findall("did you mean '(.*)'", told) == ([meant] if meant else [])
    assert names_in(unknown_name("key", name, ["data.split", "data.size"])) == ["data.size", "data.split"]
