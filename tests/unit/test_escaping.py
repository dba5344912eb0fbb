from __future__ import annotations

import json
import unicodedata

import pytest

from compose_runner.escaping import json_text, refuse_file_name, same_file_names, table_cell, visible
from tests.support import hostile_texts

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
# two joiners without which some languages are misspelt, and number signs that are seen
_KEPT = {0x200C, 0x200D, *range(0x600, 0x606), 0x6DD, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
_EVERY_HIDDEN = [
    chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in _HIDDEN and code not in _KEPT
]


def test_no_control_character_and_no_invisible_mark_is_left_of_a_text() -> None:
    shown = visible("".join(_EVERY_HIDDEN))
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.count("\\") == len(_EVERY_HIDDEN)


def test_lines_and_columns_are_kept_where_a_text_may_have_them() -> None:
    assert visible("a\n\tb\r\x1b", lines=True) == "a\n\tb\\r\\x1b"


@pytest.mark.parametrize("text", ["", "Müller & Çelik (2020)", "痛み", "می‌خواهم", "👩‍🔬", "a\\b", "s0-s0a1"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert table_cell(text) == text
    assert json_text({"text": text}) == json.dumps({"text": text}, ensure_ascii=False)


def test_json_holds_the_same_text_without_its_control_characters() -> None:
    # a surrogate beside another one would be read as one character
    text = "-".join(_EVERY_HIDDEN)
    document = {text: [text, 1.5, None]}
    written = json_text(document, indent=1)
    assert json.loads(written) == document
    assert not any(character in _EVERY_HIDDEN for character in written.replace("\n", ""))


@pytest.mark.parametrize(
    "text",
    [
        *hostile_texts.IN_A_SPREADSHEET[:4],
        *("  =1", "=", "-a", "＝1+1", "@x\n=y", "-1_000", "-１", "+1e5x", "-1,5", "- 1"),
    ],
)
def test_a_formula_becomes_a_text(text: str) -> None:
    assert table_cell(text).startswith("'")
    assert table_cell(text).isprintable()


@pytest.mark.parametrize("sign", "=+-@＝＋－＠﹦﹢﹣﹫")
def test_a_formula_behind_what_is_not_seen_becomes_a_text(sign: str) -> None:
    for before in ("", "\u00a0", "\u3000", "\u200c", "\u200d", "\ufe0f", "\u3164", "\u2800", "\u200d \u034f"):
        assert table_cell(f"{before}{sign}1+1") == f"'{before}{sign}1+1"


@pytest.mark.parametrize("text", ["-2.5", "+3", "-1e5", "-inf"])
def test_a_number_that_is_a_text_is_no_formula(text: str) -> None:
    assert table_cell(text) == text


@pytest.mark.parametrize(
    "path",
    ["metadata.json", "figures/map-0_corrector_figure-static.png", "z_desc-size_level-cluster.nii.gz", "a b/ä.tsv"],
)
def test_names_of_artifacts_are_names_of_files(path: str) -> None:
    assert refuse_file_name(path) is None


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", ".", "..", "../a", "a/../../b", "/etc/passwd", "C:/a", "C:a", "a\\b", "\\\\host\\share"),
        *("a\0b", "a\nb", "a\x1b[31m", "a\u202egnp.exe", "\ud800"),
        *(".bashrc", "a/.ssh/authorized_keys", "~\x7f"),
        *("CON", "nul.txt", "a/COM1.tar.gz", "lpt9 .x", "CONIN$"),
        *("a:stream", "a?", "a*b", 'a"b', "a|b", "a<b", "trailing.", "trailing ", "b /c"),
        *("x" * 300, "ä" * 150, "/".join(["abcdefgh"] * 120)),
    ],
)
def test_a_name_that_is_none_on_some_system_is_refused(path: str) -> None:
    assert refuse_file_name(path)


@pytest.mark.parametrize(
    ("paths", "same"),
    [
        (["a", "b", "a/c"], ("a", "a/c")),
        (["z.nii", "Z.NII"], ("z.nii", "Z.NII")),
        (["\u00e9", "e\u0301"], ("\u00e9", "e\u0301")),
        (["a/b/c", "A/B"], ("A/B", "a/b/c")),
        (["a", "b", "c/a"], None),
    ],
)
def test_two_names_of_one_file_are_found(paths: list[str], same: tuple[str, str] | None) -> None:
    assert same_file_names(paths) == same
