"""The values that a configuration field takes, in words: pydantic's faults without its vocabulary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 120  # the number of characters of a value that a message shows
TYPE = re.compile(r"constrained-\w+|\w+\[.*\]|int|float|str|bool")
# What is expected, by the type of the fault. The context of the fault fills in the bounds.
EXPECTED: dict[str, str] = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list, as [a, b]",
    "tuple_type": "a list, as [a, b]",
    "dict_type": "names with values, as {name: value}",
    "model_type": "a section, that is names with values",
    "model_attributes_type": "a section, that is names with values",
    "none_required": "null",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "a number below {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "{min_length} entries or more",
    "too_long": "{max_length} entries at most",
    "literal_error": "{expected}",
    "invalid_key": "a name that is text",
}
COMMANDS = {
    "tokenizer": "sendvae train tokenizer",
    "diffusion": "sendvae train diffusion",
    "joint": "sendvae train joint",
    "demo": "sendvae demo",
    "sample": "sendvae sample RUN --to FOLDER --preset",
    "evaluate-generation": "sendvae evaluate generation SAMPLES --reference IMAGES --protocol",
    "evaluate-reconstruction": "sendvae evaluate reconstruction TOKENIZER --data IMAGES --protocol",
    "evaluate-latents": "sendvae evaluate latents TOKENIZER --protocol",
    "scale": "sendvae reproduce EXPERIMENT --scale",
    "local": "sendvae reproduce EXPERIMENT --launcher",
    "ray": "sendvae reproduce EXPERIMENT --launcher",
    "submitit": "sendvae reproduce EXPERIMENT --launcher",
}
"""The command of each kind of configuration, to which the name of a preset or file is appended."""


def expected(faults: Sequence[Mapping[str, Any]]) -> str:
    """Return in words what a field would have accepted. A field of several types has one fault for each."""
    return " or ".join(dict.fromkeys(_one(fault) for fault in faults))


def _one(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "value_error":  # the words of our own validators
        return str(fault["msg"]).removeprefix("Value error, ")
    if words := EXPECTED.get(fault["type"]):
        return words.format(**fault.get("ctx", {}))
    return str(fault["msg"])


def field_of(loc: Sequence[str | int]) -> str:
    """Return the location of a fault as overrides write it, without the type that pydantic appends to it."""
    parts = [str(part) for part in loc]
    if len(parts) > 1 and TYPE.fullmatch(parts[-1]):
        parts.pop()
    return ".".join(parts)


def shortened(value: object) -> str:
    """Return the `repr` of a value, cut after 120 characters."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."
