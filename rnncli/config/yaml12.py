"""YAML 1.2 core-schema values with line numbers: `no` is text, `1e-3` a number, a duplicate key an error.

Source: YAML 1.2.2, section 10.3.2 (tag resolution of the core schema). PyYAML parses; only the resolution of plain
scalars and the construction of values are done here, so no tag can build anything but plain data.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

Keys = tuple[str | int, ...]

NULL = re.compile(r"^(?:~|null|Null|NULL|)\Z")
BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)\Z")
INT = re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
TAG = "tag:yaml.org,2002:"
MAX_NODES, MAX_DEPTH, MAX_DIGITS = 100_000, 64, 4000
# Text that needs no quotes, judged conservatively; the second pattern is text here but not to readers of YAML 1.1.
PLAIN = re.compile(r"^[A-Za-z0-9_/.](?!\.\.$)[A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+][A-Za-z0-9_./+-]*)*\Z")
OLD_BOOL = re.compile(r"^(?:y|n|yes|no|on|off)$", re.IGNORECASE)


class YamlError(ValueError):
    """Text that is not the YAML we read; `line` counts from 1, 0 when unknown."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class _CoreLoader(yaml.SafeLoader):
    """PyYAML's parser with the resolution rules of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own protocol


# Order matters: an integer is also a float by the looser pattern.
for _name, _pattern in (("null", NULL), ("bool", BOOL), ("int", INT), ("float", FLOAT)):
    _CoreLoader.add_implicit_resolver(TAG + _name, _pattern, None)


def parse_yaml(text: str) -> tuple[Any, dict[Keys, int]]:
    """The value of a YAML text and the line (from 1) of every key and list item in it.

    Raises YamlError for anything that is not one plain YAML document: syntax, duplicate keys, keys that are not text,
    foreign tags, values nested or repeated beyond reason.
    """
    try:
        node = yaml.compose(text, _CoreLoader)
    except yaml.reader.ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        raise YamlError("holds control characters; not a text file", text.count("\n", 0, position) + 1) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise YamlError(f"not YAML: {problem}", mark.line + 1 if mark else 0) from None
    except RecursionError:
        raise YamlError("nested too deeply") from None
    lines: dict[Keys, int] = {}
    return (None if node is None else _Builder(lines).build(node, (), 0)), lines


def parse_value(text: str) -> Any:
    """One value by the same rules, as written after `--set key=`; empty text is null, a lone - names standard input."""
    return "-" if text.strip() == "-" else parse_yaml(text)[0]


class _Builder:
    """Turns nodes into plain data; counts them, so that aliases cannot blow a small file up."""

    def __init__(self, lines: dict[Keys, int]) -> None:
        self.lines = lines
        self.nodes = 0

    def build(self, node: yaml.Node, keys: Keys, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            raise YamlError("nested too deeply or repeated too often", line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys, depth)
        if isinstance(node, yaml.SequenceNode):
            if node.tag != TAG + "seq":
                raise YamlError(f"the tag {node.tag} is not allowed here", line)
            items = []
            for i, item in enumerate(node.value):
                self.lines[(*keys, i)] = item.start_mark.line + 1
                items.append(self.build(item, (*keys, i), depth + 1))
            return items
        return _scalar(node, line)

    def _mapping(self, node: yaml.MappingNode, keys: Keys, depth: int) -> dict[str, Any]:
        if node.tag != TAG + "map":
            raise YamlError(f"the tag {node.tag} is not allowed here", node.start_mark.line + 1)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlError("a key must be a word", line)
            key = str(key_node.value)
            if key in result:
                first = self.lines[(*keys, key)]
                raise YamlError(f"{dotted((*keys, key))}: written twice, first on line {first}; remove one", line)
            self.lines[(*keys, key)] = line
            result[key] = self.build(value_node, (*keys, key), depth + 1)
        return result


def _scalar(node: yaml.Node, line: int) -> Any:
    text = str(node.value)
    kind = node.tag.removeprefix(TAG)
    if kind == "str":
        return text
    if kind == "null" and NULL.match(text):
        return None
    if kind == "bool" and BOOL.match(text):
        return text.lower() == "true"
    if kind == "int" and INT.match(text) and len(text) <= MAX_DIGITS:
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)
    if kind == "float" and FLOAT.match(text):
        return float(re.sub(r"\.(?=[a-zA-Z])", "", text) if text[-1] in "fFnN" else text)
    raise YamlError(f"{text[:40]!r} is not a value of the type {node.tag}", line)


def dotted(keys: Keys) -> str:
    """`("corpus", "paths", 1)` as people write it: `corpus.paths[1]`."""
    out = ""
    for key in keys:
        out += f"[{key}]" if isinstance(key, int) else f".{key}" if out else key
    return out


def dump_value(value: Any) -> str:
    """A scalar or a list of scalars in flow style; `parse_value` gives the same value back."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{dump_value(str(k))}: {dump_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(dump_value, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    plain = PLAIN.match(text) and not any(pattern.match(text) for pattern in (NULL, BOOL, INT, FLOAT, OLD_BOOL))
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char.isprintable() and not "\ud800" <= char <= "\udfff":
            out.append(char)
        else:
            out.append(json.dumps(char)[1:-1] if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
    return '"' + "".join(out) + '"'
