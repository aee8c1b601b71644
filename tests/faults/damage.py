"""Strategies that damage bytes, text and documents as files may be damaged on their way."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

HEADER = 256  # bytes at the beginning of a file, of which each matters more than a later one
CANARY = "canary"  # the name of a file that only code from an input would make
# A pickle that makes the canary when it is loaded without care: os.system("touch canary").
PICKLE = b"cposix\nsystem\n(S'touch canary'\ntR."
SNIPPETS = (
    "\t", "\x00", "\ufeff", "\u2028", "é", "\ud7ff", "'", '"', "{", "}", "[", "]", "[[[[", ":", ": ", "- ", ",", ";", "#",
    "&a [*a]", "*a", "<<: 1", "? ", "|", ">", "%YAML 9.9\n", "---\n", "...\n", "!!binary x", "!!set {a}", "!!timestamp 1",
    "!!python/object/apply:os.system ['touch canary']", "!!python/name:os.system", "!!python/tuple [1]", "${oc.env:HOME}",
    "=", "@", "`", "\r", "\n", "\n\n", "  ", "extends: config.yaml\n", "extends: [1]\n", "9" * 40, "-", "1e999", ".nan",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 2**63 - 1, 2**63, -(2**63), 10**40, 0.0, -0.5, 0.5, 1e-320, 1e308, float("nan"),
    float("inf"), -float("inf"), "", " ", "x", "none", "auto", "null", "é", "\x00", "\ud800", "a" * 5000, "../../x", "/", "/dev/null",
    "~", "*", "hf-hub:", "hf-hub:a/b", "embedded:", "embedded:x", "http://127.0.0.1:1/x", "fresh:", "local-dir:", [], [[]], [None],
    [0], [-1, 2], [1, 2, 3], ["x"], {}, {"x": 1}, {"": {}}, {"kind": "tokenizer"}, [[[[[1]]]]],
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw bytes that were cut short, overwritten, doubled, exchanged or lost in part."""
    for _ in range(draw(st.integers(1, 3))):
        data = draw(_once(data))
    return data


def _once(data: bytes) -> st.SearchStrategy[bytes]:
    place = st.one_of(st.integers(0, len(data)), st.integers(0, min(HEADER, len(data))))
    length = st.sampled_from([1, 2, 4, 8, 16, 64, 512])

    def cut(at: int) -> bytes:
        return data[:at]

    def behind(at: int) -> bytes:
        return data[at:]

    def flipped(at: int, mask: int) -> bytes:
        return (
            data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :] if at < len(data) else data + bytes([mask])
        )

    def overwritten(at: int, count: int, value: bytes) -> bytes:
        return data[:at] + value * min(count, len(data) - at) + data[at + count :]

    def lost(at: int, count: int) -> bytes:
        return data[:at] + data[at + count :]

    def doubled(at: int, count: int) -> bytes:
        return data[:at] + data[at : at + count] + data[at:]

    def inserted(at: int, more: bytes) -> bytes:
        return data[:at] + more + data[at:]

    values = st.sampled_from([b"\x00", b"\xff", b"\x7f", b"0"])
    return st.one_of(
        st.builds(cut, place),
        st.builds(behind, place),
        st.builds(flipped, place, st.integers(1, 255)),
        st.builds(overwritten, place, length, values),
        st.builds(lost, place, length),
        st.builds(doubled, place, length),
        st.builds(inserted, place, st.binary(min_size=1, max_size=32)),
        st.sampled_from([b"", PICKLE, b"\x80\x04" + PICKLE, b"\x00" * 64, b"\xff" * 64]),
    )


@st.composite
def damaged_text(draw: st.DrawFn, text: str) -> bytes:
    """Draw text into which something was typed, whose lines are lost, doubled or moved, or whose bytes are damaged."""
    if draw(st.integers(0, 7)) == 0:
        return draw(damaged(text.encode()))
    for _ in range(draw(st.integers(1, 3))):
        lines = text.splitlines(keepends=True) or [""]
        row = draw(st.integers(0, len(lines) - 1))
        at = draw(st.integers(0, len(lines[row])))
        kind = draw(st.sampled_from(["typed", "typed", "over", "lost", "twice", "moved"]))
        if kind == "typed":
            lines[row] = lines[row][:at] + draw(st.sampled_from(SNIPPETS)) + lines[row][at:]
        elif kind == "over":
            lines[row] = lines[row][:at] + draw(st.sampled_from(SNIPPETS))
        elif kind == "lost":
            del lines[row]
        elif kind == "twice":
            lines.insert(row, lines[row])
        else:
            lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(row))
        text = "".join(lines)
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16"]))
    return text.encode(encoding, errors="replace")


@st.composite
def changed_document(draw: st.DrawFn, document: Any) -> Any:
    """Draw a document of which a few values are others, lost, nested deeper, or under another name."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document))
        if not places:
            return draw(st.sampled_from(VALUES))
        holder, key = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(["other", "other", "other", "lost", "renamed", "deeper"]))
        if kind == "other":
            holder[key] = draw(st.sampled_from(VALUES))
        elif kind == "lost":
            del holder[key]
        elif kind == "deeper":
            holder[key] = {"x": holder[key]}
        elif isinstance(holder, dict):
            holder[draw(st.sampled_from(["x", "", f"{key}s", str(key).upper()]))] = holder.pop(key)
    return document


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Return every place of a document, as its holder and the key or position in it."""
    if not isinstance(document, dict | list):
        return []
    keys: Sequence[Any] = list(document) if isinstance(document, dict) else range(len(document))
    found = [(document, key) for key in keys]
    for key in keys:
        found += _places(document[key])
    return found


def changed_json(text: str, dump: Callable[[Any], str] = json.dumps) -> st.SearchStrategy[bytes]:
    """Return a strategy that draws the text of a JSON document, changed in its values or as text."""
    changed = changed_document(json.loads(text)).map(lambda one: dump(one).encode(errors="surrogatepass"))
    return st.one_of(changed, changed, damaged_text(text))
