"""Names of files: their order, and what is made of hostile ones."""

from __future__ import annotations

import random
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.images.names import MAX_NAME_BYTES, caseless, natural_key, safe_name, shortened

NAMES = st.text(max_size=300)


class TestNaturalKey:
    def test_as_people_count(self) -> None:
        expected = ["a2", "A3", "a10", "a10b2", "a10b10", "b", "B1", "c007", "c7", "c08", "f", "é"]
        names = list(expected)
        random.Random(0).shuffle(names)
        assert sorted(names, key=natural_key) == expected

    def test_case_decides_last(self) -> None:
        assert sorted(["b", "a", "B", "A"], key=natural_key) == ["A", "a", "B", "b"]

    def test_numbers_longer_than_python_makes(self) -> None:
        long = "9" * 5000
        assert sorted([f"1{long}", f"00{long}"], key=natural_key) == [f"00{long}", f"1{long}"]

    @given(st.integers(0), st.integers(0), st.text("ab-", max_size=3))
    def test_numbers_are_compared_as_numbers(self, one: int, other: int, word: str) -> None:
        keys = natural_key(f"x{one}{word}"), natural_key(f"x{other}{word}")
        assert (keys[0] < keys[1]) == (one < other)

    @given(st.lists(st.text("aAbé01 .\udcff", max_size=6)), st.randoms())
    def test_the_order_does_not_depend_on_the_order(
        self, names: list[str], shuffler: random.Random
    ) -> None:
        expected = sorted(names, key=natural_key)
        shuffler.shuffle(names)
        assert sorted(names, key=natural_key) == expected

    @given(NAMES, NAMES)
    def test_no_two_names_are_equal(self, one: str, other: str) -> None:
        assert (natural_key(one) == natural_key(other)) == (one == other)


class TestSafeName:
    @pytest.mark.parametrize(
        ("name", "safe"),
        [
            ("a.b c-é😀", "a.b c-é😀"),
            ('<>:"|?*\\/', "_" * 9),
            ("a\nb\0c\x7f\x85", "a_b_c__"),
            ("..", "__"),
            (".hidden", "_hidden"),
            ("folder. .", "folder___"),
            ("", "picture"),
            ("NUL", "_NUL"),
            ("com1.tar", "_com1.tar"),
            ("console", "console"),
            ("\udcff", "\udcff"),
        ],
    )
    def test_by_example(self, name: str, safe: str) -> None:
        assert safe_name(name) == safe

    @given(NAMES)
    def test_there_is_nothing_left_to_do(self, name: str) -> None:
        safe = safe_name(name)
        assert safe
        assert safe_name(safe) == safe


class TestShortened:
    def test_short_names_stay(self) -> None:
        assert shortened("a" * 195, tail=".png") == "a" * 195 + ".png"

    def test_long_names_differ(self) -> None:
        one, other = shortened("a" * 300, tail="-x.png"), shortened("a" * 301, tail="-x.png")
        assert one != other
        for name in (one, other):
            assert len(name) == MAX_NAME_BYTES
            assert name.startswith("a" * 180)
            assert name.endswith("-x.png")

    def test_what_is_safe_stays_so(self) -> None:
        assert shortened("\udcff." + "a" * 300).startswith("\udcff.a")

    @given(st.text(min_size=1, max_size=300), st.integers(20, 250))
    def test_bytes_are_counted(self, name: str, limit: int) -> None:
        found = shortened(name, limit, tail=".jpeg")
        assert len(found.encode("utf-8", "surrogatepass")) <= limit
        assert found.endswith(".jpeg")


def test_one_name_for_some_file_system() -> None:
    accent = "Été"
    assert caseless(normalize("NFD", accent)) == caseless(normalize("NFC", accent).upper())
    assert caseless("STRASSE") == caseless("straße")
    assert caseless("a") != caseless("b")
