"""What the documents of the repository say that a program can hold them to: blocks, commands, links, names."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tokentide.cli.arguments import command_parser, top_parser
from tokentide.cli.registry import COMMANDS

SHELL: Final = frozenset({"sh", "console"})
"""`sh`: commands alone. `console`: commands after `$ `, and what they print."""

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_OPERATORS: Final = frozenset({"&&", "||", "|", ";", "&", "(", ")"})
_REDIRECTIONS: Final = frozenset({">", ">>", "<", ">&"})
_ASSIGNMENT: Final = re.compile(r"[A-Z_]+=.*")


class Block(NamedTuple):
    """A fenced block."""

    language: str
    """Empty where none is named."""
    text: str


class Document(NamedTuple):
    """One Markdown file."""

    path: Path
    text: str

    @property
    def blocks(self) -> list[Block]:
        """All fenced blocks."""
        return [Block(*found) for found in _FENCE.findall(self.text)]

    @property
    def prose(self) -> str:
        """The text without its blocks."""
        return _FENCE.sub("", self.text)

    @property
    def code(self) -> list[str]:
        """What stands in back quotes in the prose."""
        return _CODE.findall(self.prose)

    @property
    def links(self) -> list[str]:
        """Targets of links."""
        return _LINK.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """What `#…` of a link may name."""
        return {_anchor(heading) for heading in _HEADING.findall(self.prose)}

    @property
    def commands(self) -> list[list[str]]:
        """The words of every command in shell blocks."""
        return [
            words
            for block in self.blocks
            if block.language in SHELL
            for line in _shell_lines(block)
            for words in simple_commands(line)
        ]


def documents(repository: Path) -> list[Document]:
    """Every Markdown file of the product."""
    files = [*repository.glob("*.md"), *repository.glob("docs/**/*.md"), *repository.glob("schemas/**/*.md")]
    return [Document(file, file.read_text(encoding="utf-8")) for file in sorted(files)]


def simple_commands(line: str) -> Iterator[list[str]]:
    """The commands of a shell line: `A=1 b && c | d > e` has b, c and d.

    Raises:
        ValueError: quotes that do not end.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = iter(lexer)
    for token in tokens:
        if token in _REDIRECTIONS:
            next(tokens)
        elif token in _OPERATORS:
            yield from _named(words)
            words = []
        else:
            words.append(token)
    yield from _named(words)


def parse_command(words: list[str]) -> None:
    """Let the argument parser read a `tokentide` command.

    Raises:
        ValueError: it refuses; the text is its message.
    """
    assert words[0] == "tokentide"
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            if len(words) == 1 or words[1].startswith("-"):
                top_parser().parse_args(words[1:])
                return
            command = next((command for command in COMMANDS if command.name == words[1]), None)
            if command is None:
                raise ValueError(f"{shlex.join(words)}: no such command")
            command_parser(command, command.load()).parse_args(words[2:])
        except SystemExit as end:
            if end.code:
                raise ValueError(f"{shlex.join(words)}: {said.getvalue().strip()}") from None


def options_of(command_name: str) -> set[str]:
    """Every option of a command, as it is written."""
    command = next(command for command in COMMANDS if command.name == command_name)
    actions = command_parser(command, command.load())._actions
    return {option for action in actions for option in action.option_strings}


def _shell_lines(block: Block) -> Iterator[str]:
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    yield from lines


def _named(words: list[str]) -> Iterator[list[str]]:
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if words:
        yield words


def _anchor(heading: str) -> str:
    """As GitHub makes them."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
