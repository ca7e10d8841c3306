"""Values in the syntax of Logstash's pipeline files: what Logstash reads is what the inventory says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logstash_pipeline_parser import Pipeline

from cluster.language import codec, literal
from tests.unit.test_properties import examples


def read_string(text: str, escapes: bool) -> str:
    """A string as Logstash reads it: grammar.treetop, and StringEscape where `config.support_escapes` is set."""
    quote = text[0]
    found = re.match(rf"{quote}((?:\\{quote}|[^{quote}])*){quote}", text)
    assert found
    assert found.end() == len(text), f"the string ends early: {text}"
    if not escapes:
        return found[1]
    meaning = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
    return re.sub(r"(?s)\\(.)", lambda match: meaning.get(match[1], match[0]), found[1])


def outcome(text: str, escapes: bool) -> tuple[str, str]:
    """What is written, or else why not."""
    try:
        return literal(text, escapes), ""
    except ValueError as error:
        return "", str(error)


@pytest.mark.parametrize("escapes", [False, True])
@examples(300)
@given(text=st.text(st.one_of(st.sampled_from("\\\"'\n\tn$%{}"), st.characters()), max_size=8))
def test_a_string_is_read_as_it_was_given_or_refused_with_what_to_do(escapes: bool, text: str) -> None:
    written, error = outcome(text, escapes)
    if error:
        assert error.isprintable()
        assert "; " in error
        if not escapes:
            assert re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff]|\\\\$", text) or {"'", '"'} <= set(text)
        else:
            assert re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", text)
        return
    assert read_string(written, escapes) == text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-5, "-5"),
        (1.5, "1.5"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        ([1, "a", True], '[1, "a", true]'),
        ([], "[]"),
        ({}, "{ }"),
        ({"a": 1, "b c": ["d"]}, '{ "a" => 1 "b c" => ["d"] }'),
        (r"^\s", r'"^\s"'),
        ('say "x"', "'say \"x\"'"),
        ("it's", '"it\'s"'),
    ],
)
def test_each_kind_of_value_has_its_spelling(value: Any, written: str) -> None:
    assert literal(value, False) == written


@pytest.mark.parametrize(
    ("value", "written"), [("\t", r'"\t"'), (r"^\s", r'"^\\s"'), ("'\"", '"\'\\""'), ("a\\", r'"a\\"')]
)
def test_escapes_write_what_nothing_else_can(value: str, written: str) -> None:
    assert literal(value, True) == written
    if value != r"^\s":
        with pytest.raises(ValueError, match="support_escapes"):
            literal(value, False)


def test_a_codec_has_its_options_behind_it() -> None:
    assert codec("json", {}, False) == "json"
    assert codec("json", {"charset": "CP1252"}, False) == 'json { charset => "CP1252" }'


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**40), 2**40),
        st.floats(-1e6, 1e6).map(lambda number: round(number, 6)),
        st.text(st.characters(codec="utf-8", categories=["L", "N", "S"]), max_size=6),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.from_regex(r"\A[a-z]{2,5}\Z"), inner, max_size=3)
    ),
    max_leaves=6,
)


def plain(parsed: Any) -> Any:
    """A value as the parser gives it, which has hashes as lists of pairs, and values in lists of one."""
    (value,) = parsed
    return _plain(value)


def _plain(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if value and all(
        isinstance(each, list) and len(each) == 2 and isinstance(each[0], str) and isinstance(each[1], list)
        for each in value
    ):
        return {key: plain(inner) for key, inner in value}
    return [_plain(each) for each in value]


@examples(30)
@given(value=VALUES)
def test_the_grammar_reads_what_is_written(value: Any) -> None:
    """Of a real parser; an empty hash and an empty list look the same in its answer."""
    ((_, ((_, options),)),) = Pipeline(f"input {{ tcp {{ a => {literal(value, False)} }} }}").parse()
    assert plain(options[0][1]) == normal(value)


def normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: normal(inner) for key, inner in value.items()} or []
    if isinstance(value, list):
        return [normal(inner) for inner in value]
    return value
