"""The text of a run file: a tree of values that knows the place of every key."""

import dataclasses
import difflib
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml

from tsrnn.data.datasets import data_folder

__all__ = ["ConfigError", "Source", "Where", "nearest", "show"]

Where = tuple[str | int, ...]
"""Keys from the root of a run file down, as ``("models", "LSTM", "network")``."""

_DATA = "${TSRNN_DATA}"


class ConfigError(ValueError):
    """A run file that cannot be used; the message names line and key, what was found, and the way out."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but ``1e-3`` is a number, as in YAML 1.2, and a date is text."""


_FLOAT, _DATE = "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"
_Loader.add_implicit_resolver(_FLOAT, re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != _DATE]
    for first, rules in _Loader.yaml_implicit_resolvers.items()
}


class Place(NamedTuple):
    """Where a key stands: what messages call it, and the folder that its paths are relative to."""

    name: str
    folder: Path

    def __str__(self) -> str:
        return self.name


@dataclasses.dataclass
class Source:
    """What a run file says, and the place of every key in it."""

    file: Path = Path("configuration")
    tree: dict[str, Any] = dataclasses.field(default_factory=dict)
    places: dict[Where, Place] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, file: Path, above: tuple[Path, ...] = ()) -> Self:
        """Read a file and, below it, the one that it names as its ``base``.

        Parameters
        ----------
        file : Path
            The file.
        above : tuple of Path
            Files that are based on it.
        """
        source = cls._read(file)
        base = source.tree.pop("base", None)
        if base is None:
            return source
        if not isinstance(base, str):
            raise source.error(("base",), f"expected the path of a run file, found {show(base)}.")
        below, chain = file.parent / Path(base).expanduser(), (*above, file)
        if any(below.resolve() == other.resolve() for other in chain):
            circle = " -> ".join(map(str, (*chain, below)))
            raise source.error(("base",), f"goes round in a circle, {circle}; take one of them out.")
        if not below.is_file():
            raise source.error(("base",), f"no such file: {below}; the path is relative to {file}.")
        return source._over(cls.read(below, chain))

    def _over(self, base: Self) -> Self:
        """What both say; where they differ, this one counts. A run's name is that of its own file."""
        base.tree.pop("name", None)
        replaced: set[Where] = set()
        tree = _merged(base.tree, self.tree, (), replaced)
        kept = {
            where: at
            for where, at in base.places.items()
            if not any(where[:n] in replaced for n in range(len(where) + 1))
        }
        return type(self)(
            self.file, tree, self.places | {where: at for where, at in kept.items() if where not in self.places}
        )

    @classmethod
    def _read(cls, file: Path) -> Self:
        try:
            text = file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}.") from None
        try:
            node = yaml.compose(text, _Loader)
            source = cls(file)
            source.tree = (
                source.value(node, (), lambda mark: Place(f"{file}:{mark.line + 1}", file.parent)) if node else {}
            )
        except yaml.MarkedYAMLError as error:
            lines = text.decode(errors="replace").rstrip().splitlines()
            marks = [m for m in (error.problem_mark, error.context_mark) if m and m.line < len(lines)]
            line = marks[0].line if marks else 0  # what is found wrong at the end began further up
            way_out = "Look at its indentation, colons and brackets, and quote text that holds ': '."
            if "'\\t'" in str(error.problem):
                way_out = "Indent with spaces, not with a tab."
            raise ConfigError(
                f"{file}:{line + 1}: not valid YAML: {error.problem}. The line reads {show(lines[line].strip())}. "
                f"{way_out}"
            ) from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{file}: not a text file in UTF-8: {error}.".replace("\n", " ")) from None
        if not isinstance(source.tree, dict):
            raise ConfigError(f"{file}: is made of lines 'key: value', but holds {show(source.tree)}.")
        return source

    def value(self, node: yaml.Node, where: Where, place_of: Callable[[yaml.Mark], Place]) -> Any:
        """The value of a YAML node; notes the place of each key below it."""
        if len(where) > 20:
            raise ConfigError(f"{place_of(node.start_mark)}: nested more than 20 levels deep.")
        if isinstance(node, yaml.SequenceNode):
            self.places |= {(*where, i): place_of(child.start_mark) for i, child in enumerate(node.value)}
            return [self.value(child, (*where, i), place_of) for i, child in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return _scalar(node)
        found: dict[str, Any] = {}
        for key_node, child in node.value:
            key, place = _scalar(key_node), place_of(key_node.start_mark)
            below = (*where, key)
            if not isinstance(key, str):
                raise ConfigError(f"{place}: the key {show(key)} is not text; put it into quotes.")
            if key in found:
                first = self.places[below]
                raise ConfigError(f"{place}: {dotted(below)}: stands twice, first at {first}; keep one of them.")
            self.places[below] = place
            found[key] = self.value(child, below, place_of)
        return found

    def set(self, option: str) -> None:
        """Apply ``key.key=value``, the value read as YAML."""
        place = Place(f"--set {option}", Path())
        path, equals, text = option.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(f"{place}: not of the form key=value, as in --set backtest.n_windows=3.")
        level = self._section(keys[:-1], place)
        self.places = {where: at for where, at in self.places.items() if where[: len(keys)] != tuple(keys)}
        self.places[tuple(keys)] = place
        try:
            node = yaml.compose(text, _Loader)
            value = None if node is None else self.value(node, tuple(keys), lambda mark: place)
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", error)
            raise ConfigError(f"{place}: the value is not valid YAML: {problem}.") from None
        if _leaves_out(keys, value):
            level.pop(keys[-1], None)
        else:
            level[keys[-1]] = value

    def _section(self, keys: Sequence[str], place: Place) -> dict[str, Any]:
        """The keys below ``keys``, which are put in where absent; a model must be there."""
        level = self.tree
        for depth, key in enumerate(keys, 1):
            if depth == 2 and keys[0] == "models" and key not in level:
                raise ConfigError(f"{place}: there is no model {key!r}; {nearest(key, level)}.")
            below = _spelt_out(level.get(key))
            if below is not None and not isinstance(below, dict):
                raise ConfigError(f"{place}: {dotted(keys[:depth])} holds {show(below)}, and no keys.")
            self.places.setdefault(tuple(keys[:depth]), place)
            level[key] = below or {}
            level = level[key]
        return level

    def resolve(self, where: Where) -> None:
        """Make a path absolute: from the folder of the file that names it; of an option, from the working folder."""
        *above, last = where
        level: Any = self.tree
        for key in above:
            level = level.get(key) if isinstance(level, dict) else None
        if isinstance(level, dict) and isinstance(level.get(last), str):
            path = level[last]
            try:
                path = path.replace(_DATA, str(data_folder())) if _DATA in path else path
            except FileNotFoundError as error:
                raise self.error(where, str(error)) from None
            level[last] = str((self.places[where].folder / Path(path).expanduser()).resolve())

    def error(self, where: Where, message: str) -> ConfigError:
        """A complaint about a key."""
        return ConfigError(f"{self.place(where)}: {dotted(where)}: {message}")

    def place(self, where: Where) -> str:
        """Where a key stands, or the nearest one above it."""
        for depth in range(len(where), 0, -1):
            if where[:depth] in self.places:
                return str(self.places[where[:depth]])
        return str(self.file)


def _merged(base: dict[str, Any], top: dict[str, Any], where: Where, replaced: set[Where]) -> dict[str, Any]:
    """Keys of both, those of ``top`` over those of ``base``; notes in ``replaced`` what of ``base`` is gone."""
    merged = dict(base)
    for key, value in top.items():
        at = (*where, key)
        below = _spelt_out(merged.get(key)) if isinstance(value, dict) else None
        if isinstance(below, dict):
            merged[key] = _merged(below, value, at, replaced)
            continue
        replaced.add(at)
        merged[key] = value
        if _leaves_out(at, value):
            del merged[key]
    return merged


def _leaves_out(where: Sequence[str | int], value: Any) -> bool:
    """Whether a key takes a model out of those that stand below."""
    return value is None and len(where) == 2 and where[0] == "models"


def _spelt_out(value: Any) -> Any:
    """A name alone stands for a type."""
    return {"type": value} if isinstance(value, str) else value


def _scalar(node: yaml.Node) -> Any:
    return _Loader("").construct_object(node, deep=True)


def dotted(where: Sequence[str | int]) -> str:
    """A path of keys as people write it."""
    return ".".join(map(str, where))


def show(value: Any) -> str:
    """A value as YAML would have it, shortened."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return "nothing" if value is None else textwrap.shorten(text, 60, placeholder=" ...")


def nearest(key: str, known: Iterable[str]) -> str:
    """What to say to somebody who wrote ``key`` where one of ``known`` was wanted."""
    near = difflib.get_close_matches(key, known := list(known), n=1, cutoff=0.5)
    return (f"did you mean {near[0]!r}? Known" if near else "known") + f" here: {', '.join(known)}"
