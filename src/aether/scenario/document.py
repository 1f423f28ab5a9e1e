"""YAML text read with the line of every value, so that errors can say where."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from aether.base.errors import InputError, Problem

LARGEST_BYTES = 5_000_000  # a scenario of ten thousand lines is 0.5 MB; larger is a mistake, found before it is parsed
MOST_VALUES = 500_000  # aliases of aliases can unfold a small file into one that fills the memory

Path_ = tuple[str | int, ...]


@dataclass
class Document:
    """What a YAML file says, and where it says it."""

    data: Any
    lines: dict[Path_, int] = field(default_factory=dict)
    file: str = ""
    told: dict[Path_, str] = field(default_factory=dict)  # paths that were set from elsewhere, and by what

    def line(self, path: Path_) -> int:
        """The line of a path, or of its nearest parent that is in the file; 0 when none is."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 0

    def problem(self, path: Path_, what: str, nearest: str = "", next: str = "") -> Problem:
        """A problem at a path of this document."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.told:
                return Problem(dotted(path), what, nearest, next, self.told[path[:end]])
        return Problem(dotted(path), what, nearest, next, self.file, self.line(path))


def dotted(path: Path_) -> str:
    """`("ships", 0, "name")` as people write it: `ships[0].name`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else (f".{key}" if text else str(key))
    return text


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe YAML in which dates stay text, only true and false are booleans, and a key may stand only once."""


_Loader.yaml_implicit_resolvers = {
    letter: [
        (tag, regexp)
        for tag, regexp in resolvers
        if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")
    ]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(  # as in YAML 1.2: "no" and "off" are words
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def read(path: Path) -> Document:
    """The document of a YAML file; InputError when it cannot be read, is too large or is not YAML."""
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            what = f"the file has {size / 1e6:.0f} MB; at most {LARGEST_BYTES / 1e6:.0f} MB are read"
            raise InputError(
                Problem("", what, next="Large inputs such as element sets go into files of their own", file=str(path))
            )
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            Problem("", f"not a text file in UTF-8 ({error.reason} at byte {error.start})", file=str(path))
        ) from error
    except OSError as error:
        raise InputError(Problem("", f"cannot be read: {error.strerror}", file=str(path))) from error
    return parse(text, str(path))


def parse(text: str, file: str = "") -> Document:
    """The document of a YAML text."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        document = Document(None, {}, file)
        if node is not None:
            document.data = _build(loader, node, (), document, [0])
        return document
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InputError(Problem("", f"not YAML: {error.problem or error.context}", file=file, line=line)) from error
    except InputError:
        raise
    except RecursionError as error:
        raise InputError(Problem("", "not YAML: it refers to itself or is nested too deeply", file=file)) from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(Problem("", f"not YAML: {str(error).splitlines()[0]}", file=file)) from error
    finally:
        loader.dispose()


def _build(loader: _Loader, node: yaml.Node, path: Path_, document: Document, count: list[int]) -> Any:
    count[0] += 1
    if count[0] > MOST_VALUES:
        raise InputError(Problem("", f"more than {MOST_VALUES:,} values", file=document.file))
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*path, i), document, count) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            line = key_node.start_mark.line + 1
            if key in result:
                raise InputError(Problem(dotted((*path, key)), "stands twice", file=document.file, line=line))
            document.lines[(*path, key)] = line
            result[key] = _build(loader, value_node, (*path, key), document, count)
        return result
    return loader.construct_object(node, deep=True)
