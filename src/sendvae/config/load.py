"""Loading of YAML presets with dotted overrides as validated configurations."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from sendvae.config import wording
from sendvae.config.schema_cell import Expected
from sendvae.config.schema_common import Section
from sendvae.config.shipped import PRESETS, no_preset, preset_names
from sendvae.errors import UserError
from sendvae.published import reported
from sendvae.registry import unknown_name

Config = TypeVar("Config", bound=Section)
EXPECTED = "expected"
LARGEST = 2**63 - 1  # larger whole numbers do not fit a tensor


@dataclass(frozen=True)
class Preset:
    """A configuration that comes with the package.

    Attributes:
        name: the name by which commands take it.
        kind: what it configures: "tokenizer", "diffusion", ...
        line: the first sentence of its file.
    """

    name: str
    kind: str
    line: str


def describe_presets() -> list[Preset]:
    """Return every shipped preset, ordered by name."""
    return [
        Preset(name, str(kind_of(name)), _first_sentence((PRESETS / f"{name}.yaml").read_text()))
        for name in preset_names()
    ]


def _first_sentence(text: str) -> str:
    """Return the first sentence of the comment at the head of a preset. The comment ends at its first empty line."""
    lines = itertools.takewhile(lambda line: re.match(r"# ?\S", line), text.splitlines())
    head = " ".join(line.lstrip("# ") for line in lines)
    return re.split(r"(?<=\.) (?=[A-Z])", head, maxsplit=1)[0]


def load_config(schema: type[Config], source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Return the validated configuration of a preset or a YAML file, with overrides applied.

    Args:
        schema: the class of configurations that the job expects.
        source: a preset's name ("demo/send-vae") or a path to a YAML file. A file may start from another
            with the key `extends`; nested sections are merged. The key `expected` is left to `load_expected`.
        overrides: strings of the form "a.b=value", whose values are YAML ("lr=1e-4", "alignment=null").

    Raises:
        UserError: the preset or a key is unknown, the file cannot be read, or a value is wrong. It names the field.
    """
    values = _read(source)
    for override in overrides:
        _apply(values, override)
    return validate(schema, values, source)


def kind_of(source: str | Path) -> str | None:
    """Return what a preset or file configures ("tokenizer", "diffusion", ...), or None if it does not say.

    Raises:
        UserError: the preset is unknown, or the file cannot be read.
    """
    return _read(source).get("kind")


def validate(schema: type[Config], values: Mapping[str, Any], source: str | Path = "FILE") -> Config:
    """Return the configuration of plain values.

    Args:
        schema: the class of configurations that the job expects.
        values: the values to validate.
        source: the preset or file that the values come from, for the error about a wrong command.

    Raises:
        UserError: a value does not fit; the error names the field, the value and the remedy for the first fault.
    """
    _check_range(values)
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        faults = error.errors()
        fault, field = faults[0], wording.field_of(faults[0]["loc"])
        if fault["type"] == "extra_forbidden":
            *section, _key = fault["loc"]
            known = _fields_at(schema, [str(part) for part in section])
            raise unknown_name(
                "configuration key", field, [".".join([*map(str, section), k]) for k in known]
            ) from None
        if fault["type"] == "missing":
            raise UserError(
                f"configuration key '{field}' is missing", next_step=f"set it: {field}=VALUE"
            ) from None
        if field == "kind":
            right = wording.COMMANDS.get(str(fault["input"]))
            raise UserError(
                "the configuration is for another command",
                given=f"kind: {fault['input']}",
                expected=f"kind: {schema.model_fields['kind'].default}",
                next_step=f"{right} {source}" if right else "choose another preset",
            ) from None
        if fault["type"] == "value_error":  # of fields that do not go together
            raise UserError(
                wording.expected([fault]), given=f"in section {field}" if field else None
            ) from None
        raise UserError(
            f"configuration key '{field}' has a wrong value",
            given=wording.shortened(fault["input"]),
            expected=wording.expected([one for one in faults if wording.field_of(one["loc"]) == field]),
        ) from None


def to_yaml(config: Section) -> str:
    """Return the fully resolved configuration as YAML, which `load_config` reads."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def load_expected(source: str | Path) -> list[Expected]:
    """Return the numbers that a preset or file lists as reported for what it trains, without those of files it extends.

    An entry is "PROTOCOL/ROW" of the published numbers, or one of your own with metric, value and source.

    Raises:
        UserError: the preset or a row is unknown, the file cannot be read, or an entry lacks metric, value or source.
    """
    given = _read_own(source)[0].get(EXPECTED, [])
    if not isinstance(given, list):
        raise UserError(
            f"{source}: {EXPECTED} must be a list of PROTOCOL/ROW, or of metric, value and source",
            given=given,
        )
    found: list[Expected] = []
    for one in given:
        if isinstance(one, str):
            row = reported(one)
            found += [
                Expected(metric=metric, value=value, source=row.source)
                for metric, value in row.values.items()
            ]
        else:
            found.append(validate(Expected, one))
    return found


def _read(source: str | Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the values of a file merged over those of the file it extends; `above` lists the files that extend it."""
    values, folder = _read_own(source)
    values.pop(EXPECTED, None)
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not isinstance(parent, str):
        raise UserError(
            f"{source}: extends names no configuration",
            given=parent,
            expected="a preset, or a path to a YAML file",
        )
    chain = (*above, str(Path(source).resolve()))
    beside = folder / parent if folder and (folder / parent).is_file() else Path(parent)
    if str(beside.resolve()) in chain:
        raise UserError(
            f"{source} extends itself",
            given=" -> ".join([*chain, str(beside.resolve())]),
            next_step="remove one extends",
        )
    return _merge(_read(beside if beside.is_file() else parent, chain), values)


def _read_own(source: str | Path) -> tuple[dict[str, Any], Path | None]:
    """Return the values of a file and its folder, or None instead of the folder for a preset."""
    preset = PRESETS / f"{source}.yaml"
    if preset.is_file():
        text, folder = preset.read_text(), None
    elif Path(source).is_file():
        text, folder = _text(Path(source)), Path(source).parent
    elif str(source).endswith((".yaml", ".yml")):
        raise UserError("configuration file not found", given=source, next_step="check the path")
    else:
        raise no_preset(str(source))
    values = _parsed(text, f"{source} is not valid YAML")
    if not isinstance(values, dict):
        raise UserError(f"{source} must be a mapping of keys to values", given=type(values).__name__)
    if other := next((key for key in values if not isinstance(key, str)), None):
        raise UserError(f"{source} has a key that is no name", given=other, expected="text")
    return values, folder


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text in UTF-8",
            given=f"byte 0x{error.object[error.start]:02x} at {error.start:,}",
            next_step=f"save it as UTF-8: iconv -f latin1 -t utf8 {path}, or name a YAML file",
        ) from None


def _parsed(text: str, problem: str) -> Any:
    """Return the values of a YAML text. No tag in it can make a Python object.

    Raises:
        UserError: the text is not valid YAML, or nested too deeply.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise UserError(
            problem, given=f"{said}{where}", next_step="close brackets and quotes; write text in quotes"
        ) from None
    except (RecursionError, ValueError) as error:  # [[[[...; an impossible date; a number of 5,000 digits
        raise UserError(problem, given=str(error)) from None
    except (AttributeError, LookupError):  # !!timestamp 1, !!bool 1, !!float
        raise UserError(
            problem, given="a value that its tag (!!) does not fit", next_step="leave the tag out"
        ) from None


def _check_range(values: Any, field: str = "", above: tuple[int, ...] = ()) -> None:
    """Raise an error for whole numbers beyond 64 bits, and for a section that YAML's anchors put into itself."""
    if isinstance(values, int) and not -LARGEST <= values <= LARGEST:
        raise UserError(
            f"configuration key '{field}' is too large",
            given=f"{values:.4g}",
            expected=f"at most {LARGEST:,}",
        )
    if not isinstance(values, Mapping | list):
        return
    if id(values) in above:
        raise UserError(
            f"configuration key '{field}' holds itself", next_step="remove the YAML anchor (&, *)"
        )
    for key, value in values.items() if isinstance(values, Mapping) else enumerate(values):
        _check_range(value, f"{field}.{key}" if field else str(key), (*above, id(values)))


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise UserError("an override must look like section.key=value", given=override)
    *sections, key = path.split(".")
    for section in sections:
        inner = values.get(section)
        values[section] = dict(inner) if isinstance(inner, dict) else {}
        values = values[section]
    values[key] = _parsed(text, f"the value of '{path}' is not valid YAML: {text}")


def _fields_at(schema: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the names of the fields of a nested section. Keys of a dictionary, which a user chooses, are skipped."""
    for part in path:
        if part in schema.model_fields:
            schema = next(_sections_in(schema.model_fields[part].annotation))
    return list(schema.model_fields)


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)


class _Loader(yaml.SafeLoader):
    """A loader that reads "1e-4" as a number, which is a string in YAML 1.1, and "1e6" as a whole number."""

    def construct_number(self, node: yaml.ScalarNode) -> float | int:
        """Return a number; one that has an exponent and is whole becomes an int."""
        value = self.construct_yaml_float(node)
        whole = "e" in node.value.lower() and abs(value) <= LARGEST and value == int(value)
        return int(value) if whole else value


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)
