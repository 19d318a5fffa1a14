"""Tables on a terminal, in a pipe and as CSV."""

import io
import math
import re
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, strategies as st
from rich.console import Console

from rwsstore.tables import Column, Table, csv_text, json_values, with_ends, with_spread


@dataclass
class Animal:
    kind: str
    name: str
    weight: float | None


ANIMALS = (
    Animal("cat", "[red]Tom", 4.25), Animal("cat", "Kitty", None), Animal("dog", "Rex", math.inf),
)  # fmt: skip
COLUMNS = (
    Column("kind", "kind", left=True, once=True),
    Column("name", "name", left=True),
    Column("twice\nits weight", lambda row: row.weight and 2 * row.weight, ".1f", spare=1),
    Column("legs", lambda _: 4, spare=2),
)


def shown(table: Table, width: int, *, terminal: bool) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    console.print(table, crop=False)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


@pytest.mark.parametrize("width", [20, 200])
def test_in_a_pipe_every_row_is_a_line_with_everything(width: int) -> None:
    assert shown(Table(COLUMNS, ANIMALS, "Pets"), width, terminal=False) == [
        "Pets",
        "kind  name      twice its weight  legs",
        "cat   [red]Tom               8.5     4",
        "cat   Kitty                    -     4",
        "dog   Rex                      ∞     4",
    ]


def test_on_a_terminal_equal_values_are_shown_once() -> None:
    lines = shown(Table(COLUMNS, ANIMALS, "Pets"), 80, terminal=True)
    assert [line.split() for line in lines[-3:]] == [
        ["cat", "[red]Tom", "8.5", "4"], ["Kitty", "-", "4"], ["dog", "Rex", "∞", "4"],
    ]  # fmt: skip


def test_on_a_narrow_terminal_columns_are_spared_and_named() -> None:
    middle = shown(Table(COLUMNS, ANIMALS), 36, terminal=True)
    assert middle[-1] == "Not shown at this width: legs"
    assert "its weight" in " ".join(middle[:-1])
    narrow = shown(Table(COLUMNS, ANIMALS), 24, terminal=True)
    assert " ".join(narrow[-2:]) == "Not shown at this width: twice its weight, legs"
    folded = shown(Table(COLUMNS, ANIMALS), 12, terminal=True)
    assert "[re" in "".join(folded)  # what is left is folded, not cut


def test_without_names_there_is_no_heading() -> None:
    table = Table((Column("", left=True), Column("", form=".2f")), [("one", 1.0), ("ten", 10.0)])
    assert shown(table, 80, terminal=False) == ["one   1.00", "ten  10.00"]


@given(st.lists(st.text(st.characters(codec="ascii", categories=("L", "N"))), min_size=1))
def test_a_pipe_has_a_line_a_row_whatever_the_width(words: list[str]) -> None:
    table = Table((Column("word", left=True), Column("n")), [(word, 1) for word in words])
    assert len(shown(table, 10, terminal=False)) == 1 + len(words)


def test_text_is_what_a_pipe_gets() -> None:
    table = Table(COLUMNS, ANIMALS, "Pets")
    assert table.to_text().splitlines() == shown(table, 80, terminal=False)


def test_infinity_is_a_sign_where_it_is_a_number_or_a_word() -> None:
    rows = [("infrared", math.inf), ("linf", "inf ± 1")]
    assert Table.of(("what", "norm"), rows).to_text() == (
        "what       norm\ninfrared      ∞\nlinf      ∞ ± 1\n"
    )


def test_ready_rows_are_as_wide_as_their_heads() -> None:
    with pytest.raises(ValueError, match="not as wide"):
        Table.of(("a", "b"), [("one", "two"), ("three",)])


DATA = Table(
    (
        Column("kind", "kind", left=True),
        Column("its\nname", "name", left=True),
        Column("weight\nin kg", "weight", ",.1f", key="weight"),
        Column("share", lambda _: 0.256, ".0%"),
        Column("cat", lambda row: row.kind == "cat", left=True),
    ),
    (Animal("cat", "[red]Tom", 4.25), Animal("cat", "a|b, <i>&", None), Animal("dog", "Rex", 2e3)),
    "Pets <all>",
)


def test_csv_keeps_no_separators_and_no_percent_signs() -> None:
    assert DATA.to_csv() == (
        "kind,its name,weight,share,cat\n"
        "cat,[red]Tom,4.2,0.256,yes\n"
        'cat,"a|b, <i>&",,0.256,yes\n'
        "dog,Rex,2000.0,0.256,no\n"
    )


def test_json_has_rows_by_key_and_numbers_as_they_are() -> None:
    assert DATA.to_json()[0] == {
        "kind": "cat", "its name": "[red]Tom", "weight": 4.25, "share": 0.256, "cat": True
    }  # fmt: skip
    assert [row["weight"] for row in DATA.to_json()] == [4.25, None, 2e3]
    assert [row["weight"] for row in Table([Column("weight", "weight")], ANIMALS).to_json()] == [
        4.25, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("names", [("", "b"), ("a", "a"), ("a b", "a\nb")])
def test_data_need_keys(names: tuple[str, str]) -> None:
    table = Table.of(names, [("one", "two")])
    for render in (table.to_csv, table.to_json):
        with pytest.raises(ValueError, match="key of its own"):
            render()


def test_markdown() -> None:
    assert DATA.to_markdown() == (
        "**Pets <all>**\n\n"
        "| kind | its name | weight in kg | share | cat |\n"
        "| --- | --- | ---: | ---: | --- |\n"
        "| cat | [red]Tom | 4.2 | 26% | yes |\n"
        "| cat | a\\|b, <i>& | - | 26% | yes |\n"
        "| dog | Rex | 2,000.0 | 26% | no |\n"
    )


def test_html_is_escaped() -> None:
    table = Table(DATA.columns[1:3], DATA.rows[1:2], DATA.title)
    assert table.to_html() == (
        "<table>\n<caption>Pets &lt;all&gt;</caption>\n<thead>\n"
        '<tr><th>its<br>name</th><th style="text-align: right">weight<br>in kg</th></tr>\n'
        "</thead>\n<tbody>\n"
        '<tr><td>a|b, &lt;i&gt;&amp;</td><td style="text-align: right">-</td></tr>\n'
        "</tbody>\n</table>\n"
    )


@given(st.text(st.sampled_from("a |<&\n\r"), max_size=8))
def test_whatever_stands_in_a_cell_html_and_markdown_hold_it(text: str) -> None:
    table = Table.of(("text", "n"), [(text, 1)])
    assert table.to_html().count("<") == 2 * len(("table", "thead", "tbody", "tr", "tr", *"1234"))
    rows = table.to_markdown().split("\n")
    assert len(rows) == 4
    assert len(re.findall(r"(?<!\\)\|", rows[2])) == 3


def test_csv() -> None:
    rows = [("a,b", 1.23456, None, True), ("c", 10, 2.5, False)]
    assert csv_text("name size:.2f rest told", rows) == (
        'name,size,rest,told\n"a,b",1.23,,yes\nc,10.00,2.5,no\n'
    )


@dataclass
class _Ends:
    low: float
    high: float


def test_figures() -> None:
    assert with_spread(12.34, None) == "12.3"
    assert with_spread(2.5, _Ends(1.75, 3.25), "+.2f") == "+2.50 ± 0.75"
    assert with_ends(0.41, None, ".0f", 100) == "41 %"
    assert with_ends(0.41, _Ends(0.39, 0.43), ".0f", 100) == "41 % (39 to 43)"


def test_json_values() -> None:
    found = json_values({"animals": ANIMALS[1:], "norms": torch.tensor([[1.0, math.nan]])})
    assert found == {
        "animals": [
            {"kind": "cat", "name": "Kitty", "weight": None},
            {"kind": "dog", "name": "Rex", "weight": None},
        ],
        "norms": [[1.0, None]],
    }
