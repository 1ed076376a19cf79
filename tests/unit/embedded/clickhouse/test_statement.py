from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide.embedded.clickhouse.errors import ServerError
from tokentide.embedded.clickhouse.statement import parse
from tokentide.embedded.clickhouse.tokens import Kind, identifier, tokens


@pytest.mark.parametrize(
    ("text", "verb", "named", "rewritten"),
    [
        (b"SELECT 1", "SELECT", None, b"SELECT 1|"),
        (b" select 1 ; -- end", "SELECT", None, b" select 1|"),
        (b"SELECT 1 FORMAT CSV", "SELECT", "CSV", b"SELECT 1 |"),
        (b"SELECT 1 format `CSV`;;", "SELECT", "CSV", b"SELECT 1 |"),
        (
            b"SELECT 1 FORMAT CSV SETTINGS a = 1, b = 'x'",
            "SELECT",
            "CSV",
            b"SELECT 1 | SETTINGS a = 1, b = 'x'",
        ),
        (b"SELECT 1 SETTINGS a = 1 FORMAT CSV", "SELECT", "CSV", b"SELECT 1 SETTINGS a = 1 |"),
        (b"SELECT format FROM t", "SELECT", None, b"SELECT format FROM t|"),
        (b"SELECT 1 AS format", "SELECT", None, b"SELECT 1 AS format|"),
        (b"SELECT a FROM t ORDER BY format SETTINGS a = 1", "SELECT", None, None),
        (b"SELECT 'x FORMAT CSV'", "SELECT", None, None),
        (b"SELECT $$ FORMAT CSV$$", "SELECT", None, None),
        (b"SELECT (SELECT 1 FORMAT CSV)", "SELECT", None, None),
        (b"/* a /* b */ c */ SELECT 1 -- FORMAT CSV", "SELECT", None, b"/* a /* b */ c */ SELECT 1|"),
        (b"#! shebang\nSELECT 1 # FORMAT CSV", "SELECT", None, b"#! shebang\nSELECT 1|"),
        (b"(SELECT 1)", "(", None, b"(SELECT 1)|"),
        (b"SHOW TABLES FORMAT JSON", "SHOW", "JSON", b"SHOW TABLES |"),
        (b"SELECT \"a\"\"b\", `c\\`d`, 'e\\'f', 'g''h' FORMAT X", "SELECT", "X", None),
    ],
)
def test_the_place_for_a_file_in_a_query(text, verb, named, rewritten):
    statement = parse(text)
    assert (statement.verb, statement.named_format) == (verb, named)
    assert not statement.takes_data
    clause = b"\nINTO OUTFILE '/f' TRUNCATE FORMAT Native"
    if rewritten is not None:
        assert statement.into_file("/f", "Native") == rewritten.replace(b"|", clause)


@pytest.mark.parametrize(
    ("text", "named", "data", "rewritten"),
    [
        (b"INSERT INTO t VALUES (1)", "Values", b" (1)", b"INSERT INTO t |"),
        (b"insert into t(a, b) values(1)", "Values", b"(1)", b"insert into t(a, b) |"),
        (b"INSERT INTO t FORMAT CSV\n1\n", "CSV", b"1\n", b"INSERT INTO t |"),
        (b"INSERT INTO t FORMAT CSV 1", "CSV", b"1", b"INSERT INTO t |"),
        (b"INSERT INTO t FORMAT CSV\r\n\n1", "CSV", b"\n1", b"INSERT INTO t |"),
        (b"INSERT INTO t FORMAT Native\n\x00\n\xff", "Native", b"\x00\n\xff", b"INSERT INTO t |"),
        (b"INSERT INTO t FORMAT CSV", "CSV", b"", b"INSERT INTO t |"),
        (
            b"INSERT INTO t SETTINGS a = 1, b = 'VALUES' FORMAT CSV x",
            "CSV",
            b"x",
            b"INSERT INTO t |SETTINGS a = 1, b = 'VALUES' ",
        ),
        (b"INSERT INTO TABLE FUNCTION null('a Int8') VALUES (1)", "Values", b" (1)", None),
        (b"INSERT INTO format VALUES (1)", "Values", b" (1)", b"INSERT INTO format |"),
        (b"INSERT INTO db.format FORMAT CSV x", "CSV", b"x", b"INSERT INTO db.format |"),
        (b"INSERT INTO values VALUES (1)", "Values", b" (1)", None),
        (b"INSERT INTO {t:Identifier} (* EXCEPT (values)) VALUES (1)", "Values", b" (1)", None),
        (b"INSERT INTO `a b`.`VALUES` VALUES (1)", "Values", b" (1)", None),
        (b"INSERT INTO t PARTITION BY x VALUES (1)", "Values", b" (1)", None),
    ],
)
def test_the_data_of_an_insert_and_the_place_for_a_file(text, named, data, rewritten):
    statement = parse(text)
    assert (statement.verb, statement.named_format) == ("INSERT", named)
    assert statement.data_at is not None
    assert text[statement.data_at :] == data
    if rewritten is not None:
        head, settings = rewritten.split(b"|")
        assert statement.from_file("/f") == (
            head + b"\nFROM INFILE '/f' COMPRESSION 'none'\n" + settings + b"\nFORMAT " + named.encode()
        )


@pytest.mark.parametrize(
    "text",
    [
        b"INSERT INTO t SELECT 1",
        b"INSERT INTO t (a) SELECT a FROM u SETTINGS x = 1",
        b"INSERT INTO t (a) WITH 1 AS x SELECT x",
        b"INSERT INTO t (SELECT 1)",
        b"INSERT INTO t",
        b"INSERT INTO t FORMAT",
        b"INSERT",
    ],
)
def test_inserts_without_data_of_their_own(text):
    assert not parse(text).takes_data


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"SELECT 1 INTO OUTFILE 'x'", 358),
        (b"SELECT 1 into -- c\n outfile 'x' FORMAT CSV", 358),
        (b"SHOW TABLES INTO OUTFILE 'x'", 358),
        (b"INSERT INTO t FROM INFILE 'x' FORMAT CSV", 1),
        (b"INSERT INTO t (a) FROM INFILE 'x'", 1),
        (b"INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV 1", 48),
    ],
)
def test_files_of_the_server_are_refused(text, code):
    with pytest.raises(ServerError) as refusal:
        parse(text)
    assert refusal.value.code == code


@pytest.mark.parametrize("text", [b"", b"  \n", b"-- only a comment", b";", b"/* open"])
def test_nothing_is_no_statement(text):
    assert parse(text).text.strip() == b""


@pytest.mark.parametrize("name", ["CSV'", "a b", "", "x" * 65, "a;b"])
def test_what_is_no_name_never_gets_into_a_statement(name):
    with pytest.raises(ServerError) as refusal:
        parse(b"SELECT 1").into_file("/f", name)
    assert refusal.value.code == 73


@given(st.binary(max_size=60) | st.lists(st.sampled_from(
    [b"SELECT", b"INSERT INTO", b"t", b"FORMAT", b"CSV", b"VALUES", b"(", b")", b"'", b'"', b"`", b"\\", b"/*", b"*/",
     b"--", b"\n", b";", b"SETTINGS", b"a=1", b",", b"$x$", b"\xe2\x80\x98", b"INTO", b"OUTFILE", b"{", b"}", b"."]
), max_size=12).map(b" ".join))  # fmt: skip
def test_any_text_is_taken_apart_or_refused(text):
    try:
        statement = parse(text)
    except ServerError:
        return
    assert text.startswith(statement.text)
    if statement.data_at is not None:
        assert len(statement.text) <= statement.data_at <= len(text)


@given(st.binary(max_size=60))
def test_tokens_cover_the_text_in_order_without_overlap(text):
    end = 0
    for token in tokens(text):
        assert end <= token.start < token.end <= len(text)
        end = token.end


def test_identifiers_are_read_as_the_engine_reads_them():
    text = rb'plain "two words" `a``b` "f\x69le" `x\`y` 5 ' + b"'text'"
    found = [identifier(text, token) for token in tokens(text)]
    assert found == ["plain", "two words", "a`b", "file", "x`y", None, None]


def test_an_open_quote_swallows_the_rest():
    (token,) = tokens(b"'open -- no comment")
    assert token.kind is Kind.SYMBOL


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT " + b" ".join(b"$a%d$" % number for number in range(120_000)),
        b"SELECT " + "‘".encode() * 320_000,
        b"SELECT " + b"'" * 1_000_001,
        b"SELECT '" + b"\\a" * 480_000,
        b"/*" * 480_000,
        b"(" * 1_000_000,
    ],
    ids=["heredocs", "typographic", "quotes", "escapes", "comments", "brackets"],
)
@pytest.mark.timeout(300)  # a quarter of an hour or more where the time is quadratic
def test_hostile_texts_take_no_quadratic_time(text):
    parse(text)
