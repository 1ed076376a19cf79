"""What the documents say against what there is: commands, SQL, Python, JSON, TOML, links, files, settings."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import clickhouse_connect
import jsonschema
import pytest
import yaml

from tests.support.clickhouse_engine import open_engine
from tests.support.documents import Document, documents, options_of, parse_command, simple_commands
from tokentide.cli.registry import COMMANDS
from tokentide.config.catalogue import settings_by_name
from tokentide.config.settings import Settings
from tokentide.config.topics import topic_plans
from tokentide.producers.call import Call
from tokentide.producers.event_models import model_for
from tokentide.schemas.call import CallEvent
from tokentide.schemas.evaluation import EvaluationEvent
from tokentide.schemas.part import PartEvent
from tokentide.sql.migrate import migrate

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = documents(ROOT)
LANGUAGES = {"sh", "console", "python", "json", "toml", "yaml", "sql", "text", ""}
DATABASE = "documented"
SCHEMAS = {CallEvent: "call", PartEvent: "part", EvaluationEvent: "evaluation"}
FOREIGN_PROGRAMS = {".", "cd", "curl", "export", "git", "jq", "my-app", "pip"}

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda d: d.path.relative_to(ROOT).as_posix()
)


def blocks(*languages: str) -> list[Any]:
    """Every block of these languages, as a parameter named by its document."""
    return [
        pytest.param(block.text, id=f"{document.path.stem}-{number}")
        for document in DOCUMENTS
        for number, block in enumerate(document.blocks)
        if block.language in languages
    ]


def commands(program: str) -> list[Any]:
    """Every documented command of a program, as a parameter."""
    return [
        pytest.param(words, id=f"{document.path.stem}: {shlex.join(words)}"[:100])
        for document in DOCUMENTS
        for words in document.commands
        if words[0] == program
    ]


@pytest.fixture(scope="module")
def targets() -> set[str]:
    """What `make` can be told."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A migrated database of the engine in this process."""
    engine = open_engine()
    migrate(engine, DATABASE)
    client = clickhouse_connect.get_client(dsn=f"chdb://{engine.path}", database=DATABASE)
    yield client
    client.close()
    engine.command(f"DROP DATABASE {DATABASE}")
    engine.close()


class TestCommands:
    @pytest.mark.parametrize("words", commands("tokentide"))
    def test_a_command_is_one_that_the_program_takes(self, words):
        parse_command(words)

    @pytest.mark.parametrize("words", commands("make"))
    def test_a_make_target_exists(self, words, targets):
        assert set(words[1:]) <= targets

    def test_every_make_target_that_is_declared_has_a_rule(self, targets):
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        (declared,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
        assert set(declared.split()) <= targets

    @each_document
    def test_commands_in_the_prose_have_the_name_and_the_options_that_exist(self, document, targets):
        for code in document.code:
            for words in named_in_prose(code):
                match words:
                    case ["make", target, *_]:
                        assert target in targets
                    case ["tokentide", name, *rest] if name in {command.name for command in COMMANDS}:
                        given = {word.partition("=")[0] for word in rest if word.startswith("--")}
                        assert given <= options_of(name) | {"--help"}, code
                    case ["tokentide", name, *_]:
                        assert name in {"COMMAND", "--help", "--version"}, code
                    case ["python", "-m", module, *_]:
                        assert importlib.util.find_spec(module) is not None

    @each_document
    def test_options_alone_in_the_prose_belong_to_some_command(self, document):
        known = {option for command in COMMANDS for option in options_of(command.name)}
        for code in document.code:
            if code.startswith("--"):
                assert re.split(r"[ =,]", code)[0] in known | {"--help"}, code

    def test_the_commands_that_readers_begin_with_are_among_those_checked(self):
        """The checks above check nothing where nothing is found."""
        (readme,) = (
            document
            for document in DOCUMENTS
            if document.path.name == "README.md" and document.path.parent == ROOT
        )
        found = [words[:2] for words in readme.commands]
        for words in (["make", "demo"], ["make", "test"], ["tokentide", "up"], ["tokentide", "query"]):
            assert words in found

    @each_document
    def test_every_program_in_a_shell_block_is_checked_or_not_ours(self, document):
        assert {words[0] for words in document.commands} <= {"tokentide", "make", *FOREIGN_PROGRAMS}

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("tokentide up --json > run.json &", [["tokentide", "up", "--json"]]),
            ("A=1 tokentide wait && tokentide audit # both", [["tokentide", "wait"], ["tokentide", "audit"]]),
            ("my-app | tokentide ship -", [["my-app"], ["tokentide", "ship", "-"]]),
            ("""tokentide query "SELECT 'a|b;c'" """, [["tokentide", "query", "SELECT 'a|b;c'"]]),
        ],
    )
    def test_a_shell_line_is_taken_apart(self, line, expected):
        assert list(simple_commands(line)) == expected

    @pytest.mark.parametrize(
        "wrong", ["tokentide serve", "tokentide up --fast", "tokentide wait --timeout soon"]
    )
    def test_a_wrong_command_is_found(self, wrong):
        with pytest.raises(ValueError, match=r"no such command|unrecognized|must be a number"):
            parse_command(shlex.split(wrong))


def named_in_prose(code: str) -> Iterator[list[str]]:
    """Commands in back quotes; placeholders such as `[--times original|now]` make no pipe."""
    words = code.split()
    if words and words[0] in {"tokentide", "make", "python"}:
        yield [word.strip("[]") for word in words]


class Query(NamedTuple):
    """A documented SQL statement."""

    sql: str
    parameters: dict[str, str]


def queries() -> list[Any]:
    """SQL of `tokentide query` in the documents, which have the examples of the help too, and blocks of SQL."""
    found = {}
    for document in DOCUMENTS:
        for words in document.commands:
            if words[:2] == ["tokentide", "query"]:
                given = [words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "--param"]
                found[words[2]] = Query(words[2], dict(given))
    found |= {block.values[0]: Query(str(block.values[0]), {}) for block in blocks("sql")}
    return [pytest.param(query, id=query.sql[:80]) for query in found.values()]


class TestSql:
    @pytest.mark.parametrize("query", queries())
    def test_a_query_runs(self, client, query):
        client.query(query.sql, query.parameters)


class TestPython:
    @pytest.mark.parametrize("text", blocks("python"))
    def test_it_compiles_and_what_it_imports_is_there(self, text):
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names)
            elif isinstance(node, ast.Import):
                assert all(importlib.util.find_spec(name.name) for name in node.names)

    @pytest.mark.parametrize("text", blocks("python"))
    def test_a_call_is_given_what_it_takes(self, text):
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "call"
            ):
                assert hasattr(Call, node.attr)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "producer.call",
                "producer.observed",
            }:
                given = {keyword.arg for keyword in node.keywords} - {"model"}
                assert given <= set(CallEvent.model_fields)


class TestData:
    @pytest.mark.parametrize("text", blocks("json"))
    def test_json_can_be_read_and_an_event_is_valid_by_its_type(self, text):
        lines = [json.loads(text)] if text.lstrip().startswith("[") else each_object(text)
        for item in lines:
            if "event_id" in item:
                check_event(item)

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({}, "provider"),
            ({"event_type": "request"}, "request_id"),
            ({"event_type": "evaluation", "request_id": "r"}, "quality"),
            ({"event_type": "gossip"}, "event_type"),
        ],
    )
    def test_a_wrong_event_is_found_whatever_its_type(self, wrong, said):
        event = {"event_id": "e", "timestamp": "2026-01-31T12:00:00Z", "service": "s", "provider": 7}
        with pytest.raises(jsonschema.ValidationError, match=said):
            check_event(event | wrong | ({"provider": "p"} if wrong else {}))

    @pytest.mark.parametrize("text", blocks("toml"))
    def test_toml_can_be_read(self, text):
        assert tomllib.loads(text)

    @pytest.mark.parametrize("text", blocks("yaml"))
    def test_yaml_can_be_read(self, text):
        assert yaml.safe_load(text)


def check_event(item: dict[str, Any]) -> None:
    """By schema and model of its type; a type that is not known is judged as a call, which it is not."""
    model = model_for(item.get("event_type"))
    schema = ROOT / "schemas" / "json" / f"{SCHEMAS[model]}.schema.json"
    jsonschema.validate(item, json.loads(schema.read_text(encoding="utf-8")))
    model.model_validate(item)


def each_object(text: str) -> list[Any]:
    """One document, or one a line."""
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines() if line]


class TestNames:
    @each_document
    def test_every_block_says_a_language_that_is_checked(self, document):
        assert {block.language for block in document.blocks} <= LANGUAGES

    @each_document
    def test_every_link_has_a_target(self, document):
        for link in document.links:
            path, _, anchor = link.partition("#")
            if path.startswith(("https://", "mailto:")):
                continue
            target = (document.path.parent / path).resolve() if path else document.path
            assert target.exists(), link
            assert target.is_relative_to(ROOT), link
            if anchor:
                assert anchor in Document(target, target.read_text(encoding="utf-8")).anchors, link

    def test_every_page_is_reached_from_the_readme(self):
        readme = Document(ROOT / "README.md", (ROOT / "README.md").read_text(encoding="utf-8"))
        pages = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md")}
        assert pages <= {link.partition("#")[0] for link in readme.links}

    @each_document
    def test_every_file_that_is_named_exists(self, document):
        """With its folder it may be named from the root, from the document, or from the folder that the document is about."""
        folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
        for code in document.code:
            name = code.partition(":")[0].rstrip("/")
            if re.fullmatch(r"[\w./*-]+", name) and name.partition("/")[0] in folders and "/" in name:
                assert list(ROOT.glob(name)), code

    @each_document
    def test_every_setting_that_is_named_exists(self, document):
        groups = {name.partition(".")[0] for name in settings_by_name() if "." in name}
        for code in document.code:
            name = code.partition("=")[0]
            if re.fullmatch(r"[a-z_]+\.[a-z_]+", name) and name.partition(".")[0] in groups:
                assert name in settings_by_name() or is_no_setting(name), code

    @each_document
    def test_every_topic_that_is_named_exists(self, document):
        topics = {plan.name for plan in topic_plans(Settings())}
        for name in re.findall(r"\bllm\.\w+", document.prose):
            assert name in topics


def is_no_setting(name: str) -> bool:
    """A file or a module beside the group's name, such as `metrics.py`."""
    return bool(re.fullmatch(r"\w+\.(py|md|toml|sql|yaml|json)", name))
