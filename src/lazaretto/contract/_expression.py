r"""Reads and bounds expressions such as ``price >= cost``. Long: one parser of one grammar.

The grammar, from what binds least to what binds most::

    either     = both {"or" both}
    both       = single {"and" single}
    single     = "not" single | comparison
    comparison = sum [sign sum | ["not"] "in" list | "is" ["not"] "null"]
    sign       = "==" | "!=" | "<=" | ">=" | "<" | ">"
    sum        = product {("+" | "-") product}
    product    = factor {("*" | "/") factor}
    factor     = "-" factor | atom
    atom       = number | text | "true" | "false" | column
               | function "(" either ")" | "(" either ")"
    list       = "[" value {"," value} "]"

A column is a word, or any name in backticks: `` `unit price` ``. A text is in quotes of either
kind. Functions are ``abs``, ``length``, ``lower``, ``upper`` and ``trim``. Nothing else can be
said, and nothing is run.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_CHARACTERS, MOST_PARTS, MOST_DEPTH = 1000, 200, 30
FUNCTIONS = ("abs", "length", "lower", "upper", "trim")
COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
_MOST_DIGITS = 18
_WORDS = frozenset({"or", "and", "not", "in", "is", "null", "true", "false"})
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|`(?P<column>[^`]+)`"
    r"|'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\""
    r"|(?P<sign>==|!=|<=|>=|[-+*/<>()\[\],=]))"
)
Value = bool | int | float | str


class ExpressionError(ValueError):
    """An expression cannot be read; says where and why."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands for itself."""

    value: Value


@dataclass(frozen=True, slots=True)
class ColumnOf:
    """The value of a column."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A sign or function, and what it is of.

    Attributes:
        name: one of `COMPARISONS`, `FUNCTIONS`, ``+ - * / and or not null``.
        parts: what it is of.
    """

    name: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Among:
    """Whether a value is in a list."""

    value: Node
    values: tuple[Value, ...]


Node = Literal | ColumnOf | Call | Among


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that was read.

    Attributes:
        text: as it was written.
        root: what it says.
        columns: that it names, each once.
    """

    text: str
    root: Node
    columns: tuple[str, ...]


def read_expression(text: str) -> Expression:
    """Reads an expression that is true or false of a record.

    Raises:
        ExpressionError: it is none; says where.

    Examples:
        >>> read_expression("price >= cost and `end date` > start").columns
        ('price', 'cost', 'end date', 'start')
    """
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(f"has more than {MOST_CHARACTERS} characters: split it with `and`")
    parser = _Parser(text)
    root = parser.whole()
    if not _is_condition(root):
        raise ExpressionError(
            f"{text!r} is a value and no condition: compare it with something, as in `{text} > 0`"
        )
    columns = tuple(dict.fromkeys(node.name for node in walk(root) if isinstance(node, ColumnOf)))
    if not columns:
        raise ExpressionError(f"{text!r} names no column")
    return Expression(text, root, columns)


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for part in node.parts if isinstance(node, Call) else ():
        yield from walk(part)
    if isinstance(node, Among):
        yield from walk(node.value)


def _is_condition(node: Node) -> bool:
    if isinstance(node, Call):
        return node.name in (*COMPARISONS, "and", "or", "not", "null")
    # A column may hold true and false.
    return isinstance(node, Among | ColumnOf)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = self._depth = self._parts = 0

    def whole(self) -> Node:
        found = self._either()
        if self._next < len(self._tokens):
            raise self._unexpected()
        return found

    def _either(self) -> Node:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise ExpressionError(f"is nested deeper than {MOST_DEPTH} levels: split it")
        found = self._joined("or", ("and",))
        self._depth -= 1
        return found

    def _joined(self, word: str, rest: tuple[str, ...]) -> Node:
        def part() -> Node:
            return self._joined(rest[0], rest[1:]) if rest else self._single()

        parts = [part()]
        while self._takes("word", word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else self._made(Call(word, self._conditions(parts)))

    def _conditions(self, parts: list[Node]) -> tuple[Node, ...]:
        for part in parts:
            if not _is_condition(part):
                raise ExpressionError(
                    f"{self._text!r}: `and`, `or` and `not` stand between conditions, such as a > 0"
                )
        return tuple(parts)

    def _single(self) -> Node:
        if self._takes("word", "not"):
            self._depth += 1
            if self._depth > MOST_DEPTH:
                raise ExpressionError(f"is nested deeper than {MOST_DEPTH} levels: split it")
            inner = self._single()
            self._depth -= 1
            return self._made(Call("not", self._conditions([inner])))
        return self._comparison()

    def _comparison(self) -> Node:
        left = self._sum()
        for sign in COMPARISONS:
            if self._takes("sign", sign):
                found = self._made(Call(sign, (left, self._sum())))
                if any(self._peeks("sign", other) for other in COMPARISONS):
                    raise ExpressionError(
                        f"{self._text!r}: compare two things at a time: `a < b and b < c`"
                    )
                return found
        if self._peeks("sign", "="):
            raise ExpressionError(f"{self._text!r}: equality is written `==`")
        if self._takes("word", "is"):
            negated = self._takes("word", "not")
            if not self._takes("word", "null"):
                raise self._unexpected("`null` after `is`")
            is_null = self._made(Call("null", (left,)))
            return self._made(Call("not", (is_null,))) if negated else is_null
        negated = self._takes("word", "not")
        if self._takes("word", "in"):
            found = self._made(Among(left, self._list()))
            return self._made(Call("not", (found,))) if negated else found
        if negated:
            raise self._unexpected("`in` after `not`")
        return left

    def _list(self) -> tuple[Value, ...]:
        if not self._takes("sign", "["):
            raise self._unexpected("a list in brackets, such as ['a', 'b'], after `in`")
        values: list[Value] = []
        while True:
            negative = self._takes("sign", "-")
            node = self._atom()
            if not isinstance(node, Literal):
                raise ExpressionError(f"{self._text!r}: a list holds numbers and texts")
            value = node.value
            if negative:
                if isinstance(value, str | bool):
                    raise ExpressionError(f"{self._text!r}: only a number can be negative")
                value = -value
            values.append(value)
            if self._takes("sign", "]"):
                return tuple(values)
            if not self._takes("sign", ","):
                raise self._unexpected("`,` or `]`")

    def _sum(self) -> Node:
        return self._chain(("+", "-"), self._product)

    def _product(self) -> Node:
        return self._chain(("*", "/"), self._sign)

    def _chain(self, signs: tuple[str, ...], part: Callable[[], Node]) -> Node:
        found = part()
        while True:
            sign = next((one for one in signs if self._takes("sign", one)), None)
            if sign is None:
                return found
            found = self._made(Call(sign, (found, part())))

    def _sign(self) -> Node:
        negative = False
        while self._takes("sign", "-"):
            negative = not negative
        found = self._atom()
        if not negative:
            return found
        if isinstance(found, Literal) and not isinstance(found.value, str | bool):
            return Literal(-found.value)
        return self._made(Call("-", (Literal(0), found)))

    def _atom(self) -> Node:
        token = self._token()
        if token is None:
            raise self._unexpected("a column or a value")
        self._next += 1
        match token.kind:
            case "number":
                return self._made(Literal(_number(token.text)))
            case "single" | "double":
                return self._made(Literal(token.text))
            case "column":
                return self._made(ColumnOf(token.text))
            case "word" if token.text in ("true", "false"):
                return self._made(Literal(token.text == "true"))
            case "word" if token.text not in _WORDS:
                return self._named(token)
            case "sign" if token.text == "(":
                found = self._either()
                if not self._takes("sign", ")"):
                    raise self._unexpected("`)`")
                return found
        self._next -= 1
        raise self._unexpected("a column or a value")

    def _named(self, token: _Token) -> Node:
        if not self._takes("sign", "("):
            return self._made(ColumnOf(token.text))
        if token.text not in FUNCTIONS:
            raise ExpressionError(
                f"{self._text!r}: there is no function {token.text!r}; there are "
                f"{', '.join(FUNCTIONS)}"
            )
        inner = self._either()
        if not self._takes("sign", ")"):
            raise self._unexpected("`)`")
        return self._made(Call(token.text, (inner,)))

    def _made(self, node: Node) -> Node:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise ExpressionError(f"has more than {MOST_PARTS} parts: split it")
        return node

    def _token(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _peeks(self, kind: str, text: str) -> bool:
        token = self._token()
        return token is not None and (token.kind, token.text) == (kind, text)

    def _takes(self, kind: str, text: str) -> bool:
        taken = self._peeks(kind, text)
        self._next += taken
        return taken

    def _unexpected(self, wanted: str = "the end, `and` or `or`") -> ExpressionError:
        token = self._token()
        found = "the end" if token is None else f"{token.text!r} at character {token.at + 1}"
        return ExpressionError(f"{self._text!r}: {found}, where there should be {wanted}")


def _tokens(text: str) -> Iterator[_Token]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(f"{text!r}: {text[at]!r} at character {at + 1} says nothing")
        yield _Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))
        at = found.end()


def _number(text: str) -> int | float:
    if text.isdigit():
        if len(text) > _MOST_DIGITS:
            raise ExpressionError(f"{text!r} is too large")
        return int(text)
    value = float(text)
    if not math.isfinite(value):
        raise ExpressionError(f"{text!r} is too large")
    return value
