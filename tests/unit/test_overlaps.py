"""Two distributions that own one file, and whose file counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from da_agent.domain.packages import overlaps
from da_agent.domain.packages.listings import Listing, Member
from da_agent.domain.packages.overlaps import Overlap
from tests.fake_nodes import wheel


def listing(name: str, files: dict[str, str], scripts: tuple[str, ...] = ()) -> Listing:
    members = tuple(Member(path, len(text), hash(text)) for path, text in files.items())
    return Listing(name, "1", scripts, (*members, Member(f"{name}-1.dist-info/METADATA", 9, len(name))))


def mistakes(*listings: Listing, allowed: tuple[Overlap, ...] = ()) -> list[str]:
    return list(overlaps.mistakes({each.name: each for each in listings}, allowed))


def test_a_file_of_two_distributions_is_named_with_both_and_with_the_setting() -> None:
    one = listing("opencv-python", {"cv2/__init__.py": "a", "cv2/b.py": "a"})
    other = listing("opencv-python-headless", {"cv2/__init__.py": "b", "cv2/b.py": "b"})
    (mistake,) = mistakes(one, other, listing("six", {"six.py": "a"}))
    assert mistake == (
        "opencv-python and opencv-python-headless both have the file cv2/__init__.py and 1 more: remove one of the two,"
        ' or put `overlapping packages: ["opencv-python over opencv-python-headless"]` into the section "da agent" of'
        " config.yml"
    )


def test_a_pair_is_allowed_in_either_order_and_no_other_pair_is() -> None:
    every = [listing(name, {"tests/__init__.py": name}) for name in ("a", "b", "c")]
    assert len(mistakes(*every)) == 3
    found = mistakes(*every, allowed=(Overlap("b", "a"), Overlap("a", "c")))
    assert [each.split(" both ")[0] for each in found] == ["b and c"]


def test_equal_files_and_bytecode_beside_its_source_are_no_overlap() -> None:
    namespace = {"docassemble/__init__.py": "", "docassemble/__pycache__/__init__.cpython-311.pyc": "of another build"}
    assert (
        mistakes(listing("a", {**namespace, "docassemble/a.py": "1"}), listing("b", {"docassemble/__init__.py": ""}))
        == []
    )
    orphan = {"__pycache__/x.cpython-311.pyc": "1"}
    assert len(mistakes(listing("a", orphan), listing("b", {"__pycache__/x.cpython-311.pyc": "2"}))) == 1


def test_programs_data_and_other_ways_to_one_place_are_seen() -> None:
    assert "bin/serve" in mistakes(listing("a", {}, ("serve",)), listing("b", {"b-1.data/scripts/serve": "x"}))[0]
    assert "x.py" in mistakes(listing("a", {"x.py": "1"}), listing("b", {"b-1.data/purelib/x.py": "2"}))[0]
    assert (
        "etc/x" in mistakes(listing("a", {"a-1.data/data/etc/x": "1"}), listing("b", {"b-1.data/data/etc/x": "2"}))[0]
    )


def test_a_file_of_one_that_is_a_folder_of_another_is_never_allowed() -> None:
    found = mistakes(listing("a", {"x": "1"}), listing("b", {"x/y.py": "2"}), allowed=(Overlap("a", "b"),))
    assert found == ["x is a file of a and a folder of b: remove one of the two"]


PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8)


@given(PAIRS)
def test_every_winner_is_installed_after_what_it_wins_over(pairs: list[tuple[int, int]]) -> None:
    wanted = [Overlap(f"p{high}", f"p{low}") for high, low in pairs if high > low]
    wheels = [wheel(f"p{number}") for number in range(5)]
    first, later = overlaps.order(wheels, wanted)
    names = [each.name for each in (*first, *later)]
    assert sorted(names) == [each.name for each in wheels]
    for each in wanted:
        if {each.winner, each.loser} <= set(names):
            assert names.index(each.winner) > names.index(each.loser)
            assert each.winner not in [one.name for one in first]


@pytest.mark.parametrize(
    ("pairs", "wrong"),
    [(["ab", "bc"], False), (["aa"], True), (["ab", "ba"], True), (["ab", "bc", "ca"], True), ([], False)],
)
def test_a_circle_of_pairs_is_a_contradiction(pairs: list[str], wrong: bool) -> None:
    assert overlaps.contradiction(Overlap(*pair) for pair in pairs) == wrong
