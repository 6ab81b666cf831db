"""From a YAML file and the command line to typed settings.

The settings of a task are one dataclass, put together from the groups of :mod:`clipbert_hf.training.recipe` and from
fields of its own::

    recipe = parse_recipe(VideoQARecipe, ["recipe.yaml", "--learning_rate", "1e-4", "--model.hidden_size", "128"])

The file comes first and may be left out; what the command line says wins. A dot reaches into a mapping, and with a
number into a list: ``--more_data.0.data_dir data/mine``.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
import types
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from .recipe import RecipeError
from .recipe_files import find_recipe

Recipe = TypeVar("Recipe")


def parse_recipe(recipe_class: type[Recipe], arguments: Sequence[str] | None = None) -> Recipe:
    """Read a recipe from the command line.

    Args:
        recipe_class: A dataclass.
        arguments: A YAML file or the name of a recipe of the package, which may be left out, and ``--key value``
            pairs; by default those of the process. ``--start_from`` takes the place of ``vision`` and ``text`` of the
            recipe, and these of its ``start_from``.

    Returns:
        The settings.

    Raises:
        RecipeError: If a key is unknown or missing, or a value is not what its key takes.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    fields = {entry.name: entry for entry in dataclasses.fields(recipe_class)}  # type: ignore[arg-type]
    hints = get_type_hints(recipe_class)
    if {"-h", "--help"} & set(arguments):
        sys.stdout.write(_help(recipe_class, fields, hints))
        raise SystemExit(0)
    path, pairs = _split(arguments, flags={name for name, hint in hints.items() if hint is bool})
    values = read_yaml(find_recipe(path)) if path else {}
    for name in values:
        _check_key(name, fields, place=f"recipe {path}")
    for option, text in pairs:
        name, *keys = option.split(".")
        _check_key(name, fields, place="command line")
        value = _scalar(text) if keys else _from_text(text, hints[name])
        values[name] = _replaced(values.get(name), keys, value, option)
    _let_start_points_replace_each_other(values, {option for option, _ in pairs})
    return build(recipe_class, values)


def _let_start_points_replace_each_other(values: dict[str, Any], given: set[str]) -> None:
    """A model that the command line starts from takes the place of the parts that the recipe names, or they of it."""
    whole, parts = {"start_from"}, {"vision", "text"}
    for chosen, other in ((whole, parts), (parts, whole)):
        is_chosen = any(values.get(name) is not None for name in chosen & given)
        if is_chosen and not other & given:
            values.update(dict.fromkeys(other & values.keys()))


def build(recipe_class: type[Recipe], values: Mapping[str, Any], place: str = "") -> Recipe:
    """Make a dataclass of a mapping.

    Args:
        recipe_class: The dataclass.
        values: Its fields; those with a default may be left out.
        place: Where the mapping stands, if inside of another.

    Raises:
        RecipeError: If a key is unknown or missing, or a value is not what its key takes.
    """
    fields = {entry.name: entry for entry in dataclasses.fields(recipe_class)}  # type: ignore[arg-type]
    hints = get_type_hints(recipe_class)
    for name in values:
        _check_key(name, fields, place=place)
    missing = [name for name, entry in fields.items() if name not in values and _is_required(entry)]
    if missing:
        raise RecipeError(f"{place and place + ': '}missing settings: {', '.join(missing)}")
    inner = f"{place}." if place else ""
    return recipe_class(**{name: _coerce(value, hints[name], inner + name) for name, value in values.items()})


def _replaced(inside: Any, keys: Sequence[str], value: Any, option: str) -> Any:
    """A mapping or list with the value at the end of the keys replaced; without keys, the value itself."""
    if not keys:
        return value
    first, *rest = keys
    if isinstance(inside, list):
        if not first.isdecimal() or int(first) >= len(inside):
            raise RecipeError(f"command line: --{option}: expected a number below {len(inside)}, got {first!r}")
        return [_replaced(old, rest, value, option) if n == int(first) else old for n, old in enumerate(inside)]
    mapping = {} if inside is None else inside
    if not isinstance(mapping, dict):
        raise RecipeError(f"command line: --{option} reaches into {inside!r}, which is no mapping")
    return {**mapping, first: _replaced(mapping.get(first), rest, value, option)}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        RecipeError: If there is no such file or it holds something else.
    """
    try:
        content = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f"cannot read recipe {path}: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise RecipeError(f"recipe {path} must be a mapping of settings; got {type(content).__name__}")
    return content


def write_yaml(recipe: Any, path: Path) -> None:
    """Write all settings, the defaults too, so that the run can be repeated."""
    path.write_text(yaml.safe_dump(dataclasses.asdict(recipe), sort_keys=False), "utf-8")


def check_keys(mapping: Mapping[str, Any], allowed: Collection[str], *, name: str) -> None:
    """Check the keys of a nested mapping.

    Raises:
        RecipeError: If one is unknown; the message names the allowed ones.
    """
    for key in mapping:
        _check_key(key, allowed, place=name)


def _check_key(key: str, allowed: Collection[str], *, place: str) -> None:
    if key in allowed:
        return
    close = difflib.get_close_matches(str(key), allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise RecipeError(f"{place}: unknown key {key!r}{hint}; allowed: {', '.join(sorted(allowed))}")


def _is_required(entry: dataclasses.Field[Any]) -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


def _split(arguments: Sequence[str], flags: Collection[str]) -> tuple[str | None, list[tuple[str, str]]]:
    """Split a command line into the file, if it starts with one, and pairs of key and value; a flag alone is true."""
    rest = list(arguments)
    path = rest.pop(0) if rest and not rest[0].startswith("--") else None
    pairs = []
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if not option.startswith("--"):
            raise RecipeError(f"command line: expected [RECIPE] --key value …, got {option!r}")
        if not equals:
            if rest and not rest[0].startswith("--"):
                value = rest.pop(0)
            elif option.removeprefix("--") in flags:
                value = "true"
            else:
                raise RecipeError(f"command line: {option} needs a value")
        pairs.append((option.removeprefix("--"), value))
    return path, pairs


def _help(recipe_class: type, fields: Mapping[str, dataclasses.Field[Any]], hints: Mapping[str, Any]) -> str:
    lines = [f"{recipe_class.__doc__}", "", "usage: [RECIPE] --key value …, and --mapping.key value …", ""]
    for name, entry in fields.items():
        default = entry.default if entry.default_factory is MISSING else entry.default_factory()
        shown = "required" if default is MISSING else "null" if default is None else default
        lines.append(f"  --{name} ({_describe(hints[name])}; {shown})\n        {entry.metadata.get('help', '')}")
    return "\n".join(lines) + "\n"


def _scalar(text: str) -> Any:
    """Read a value as YAML does, and also 1e-4 as a number."""
    value = _yaml(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _from_text(text: str, hint: Any) -> Any:
    options = _options(hint)
    if str in options:  # "2024" is a fine name of a folder
        return None if text == "null" and type(None) in options else text
    is_list = any(get_origin(option) is list for option in options)
    return _yaml(f"[{text}]" if is_list and not text.lstrip().startswith("[") else text)


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"command line: cannot read the value {text!r}: {error}") from error


def _options(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _describe(hint: Any) -> str:
    parts = []
    for option in _options(hint):
        if get_origin(option) is Literal:
            parts += [str(value) for value in get_args(option)]
        elif get_origin(option) is list:
            parts.append(f"list of {_describe(get_args(option)[0])}")
        elif get_origin(option) is dict:
            parts.append("mapping")
        elif dataclasses.is_dataclass(option):
            parts.append(f"mapping of {', '.join(entry.name for entry in dataclasses.fields(option))}")
        else:
            parts.append("null" if option is type(None) else option.__name__)
    return " or ".join(parts)


def _coerce(value: Any, hint: Any, name: str) -> Any:
    """Bring a value of YAML to the type of its setting, where that loses nothing."""
    for option in _options(hint):
        converted = _convert(value, option, name)
        if converted is not MISSING:
            return converted
    raise RecipeError(f"{name} must be {_describe(hint)}; got {value!r}")


def _convert(value: Any, option: Any, name: str) -> Any:
    """The value as the type ``option``, or MISSING."""
    if get_origin(option) is Literal:
        return value if value in get_args(option) else MISSING
    if get_origin(option) is list:
        if not isinstance(value, list):
            return MISSING
        return [_coerce(item, get_args(option)[0], f"{name}[{index}]") for index, item in enumerate(value)]
    if get_origin(option) is dict:
        return dict(value) if isinstance(value, dict) else MISSING
    if isinstance(option, type) and dataclasses.is_dataclass(option):
        return build(option, value, name) if isinstance(value, dict) else MISSING
    if option is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-4 as text
        except (TypeError, ValueError):
            return MISSING
    matches = isinstance(value, option) and not (option is int and isinstance(value, bool))
    return value if matches else MISSING
