"""YAML presets plus dotted overrides, to a validated configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from sendvae.config.schema_cell import Expected
from sendvae.config.schema_common import Section
from sendvae.errors import UserError
from sendvae.published import reported
from sendvae.registry import unknown_name

Config = TypeVar("Config", bound=Section)
EXPECTED = "expected"
PRESETS = resources.files("sendvae.config") / "presets"


def preset_names() -> list[str]:
    """Every shipped preset, as "folder/name" or "name"."""
    root = Path(str(PRESETS))
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def load_config(schema: type[Config], source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a preset or a YAML file, applies overrides and validates.

    Args:
        schema: what the job expects.
        source: a preset's name ("demo/send-vae") or a path to a YAML file. A file may start from another
            with the key `extends`; nested sections are merged. `expected` is for `load_expected`.
        overrides: "a.b=value" strings; values are YAML ("lr=1e-4", "alignment=null").

    Raises:
        UserError: unknown preset, unreadable file, unknown key or wrong value, naming the field.
    """
    values = _read(source)
    for override in overrides:
        _apply(values, override)
    return validate(schema, values)


def kind_of(source: str | Path) -> str | None:
    """Return what a preset or file is for: "tokenizer", "diffusion", ...; None where it does not say.

    Raises:
        UserError: unknown preset, or unreadable file.
    """
    return _read(source).get("kind")


def validate(schema: type[Config], values: Mapping[str, Any]) -> Config:
    """Validates plain values; the first fault becomes a `UserError` naming field, value and remedy."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
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
            raise UserError(
                "the configuration is for another command",
                given=f"kind: {fault['input']}",
                expected=f"kind: {schema.model_fields['kind'].default}",
                next_step="use the command for its kind, or another preset",
            ) from None
        raise UserError(
            f"configuration key '{field}' has a wrong value",
            given=repr(fault["input"]),
            expected=fault["msg"],
        ) from None


def to_yaml(config: Section) -> str:
    """The fully resolved configuration, readable by `load_config`."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def load_expected(source: str | Path) -> list[Expected]:
    """Return the numbers that a preset or file says are reported for what it trains; not those that it extends.

    An entry is "PROTOCOL/ROW" of the published numbers, or one of your own with metric, value and source.

    Raises:
        UserError: unknown preset or row, unreadable file, or entries without metric, value and source.
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


def _read(source: str | Path) -> dict[str, Any]:
    """Return the values of a file over those that it extends."""
    values, folder = _read_own(source)
    values.pop(EXPECTED, None)
    parent = values.pop("extends", None)
    if parent is None:
        return values
    beside = folder / parent if folder and (folder / parent).is_file() else parent
    return _merge(_read(beside), values)


def _read_own(source: str | Path) -> tuple[dict[str, Any], Path | None]:
    """Return what stands in a file, and its folder; None for a preset."""
    preset = PRESETS / f"{source}.yaml"
    if preset.is_file():
        text, folder = preset.read_text(), None
    elif Path(source).is_file():
        text, folder = Path(source).read_text(), Path(source).parent
    elif str(source).endswith((".yaml", ".yml")):
        raise UserError("configuration file not found", given=source, next_step="check the path")
    else:
        raise unknown_name("preset", str(source), preset_names())
    try:
        values = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{source} is not valid YAML", given=str(error).replace("\n", " ")) from None
    if not isinstance(values, dict):
        raise UserError(f"{source} must be a mapping of keys to values", given=type(values).__name__)
    return values, folder


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
    values[key] = yaml.load(text, Loader=_Loader)


def _fields_at(schema: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Names of the fields of a nested section; keys of a dictionary, which are names of one's own, lead no deeper."""
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
    """YAML 1.1 reads "1e-4" as a string; people who write configurations mean a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)
