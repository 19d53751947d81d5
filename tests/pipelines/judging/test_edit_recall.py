from formats.edits import AS_IS, EDITS
from formats.tables import VideoRow
from pipelines.judging.edit_recall import EditRecall, count_edits, count_kin
from pipelines.judging.reedits import edited_id

A, B, C, D = ("set", "a"), ("set", "b"), ("set", "c"), ("other", "d")


def fetched(*made: tuple[int, str], rejected: tuple[tuple[int, str], ...] = ()) -> list[VideoRow]:
    rows = [VideoRow("k", edited_id(*one), "stored") for one in made]
    return rows + [VideoRow("k", edited_id(*one), "rejected", "too_short") for one in rejected]


def counted(rows: list[VideoRow], found: dict[tuple[int, str], set]) -> dict[str, EditRecall]:
    by_id = {edited_id(*one): names for one, names in found.items()}
    return {row.edit: row for row in count_edits(rows, by_id, [A, B, C])}


def recall(edit: str, *counts: int, missed: tuple[str, ...] = ()) -> EditRecall:
    files, found, wrong, rejected = counts
    return EditRecall(edit, EDITS[edit].says, files, found, wrong, rejected, missed)


def test_what_is_found_missed_wrong_and_rejected_is_counted_by_edit() -> None:
    rows = fetched((0, "gray"), (1, "gray"), (2, "gray"), (0, "blur"), rejected=((1, "blur"),))
    found = counted(rows, {(0, "gray"): {A}, (1, "gray"): {B, D}, (2, "gray"): {A}})
    assert list(found) == list(EDITS)
    assert found["gray"] == recall("gray", 3, 2, 2, 0, missed=("set/c",))
    assert found["blur"] == recall("blur", 1, 0, 0, 1, missed=("set/a",))
    assert found["noise"] == recall("noise", 0, 0, 0, 0)
    assert [found[name].recall for name in ("gray", "blur", "noise")] == [2 / 3, 0.0, 0.0]


def test_target_videos_that_are_alike_unedited_are_no_wrong_ones_for_each_other() -> None:
    rows = fetched((0, AS_IS), (0, "gray"), (1, AS_IS), (1, "gray"))
    named = {(0, AS_IS): {A, D}, (0, "gray"): {A, D}, (1, AS_IS): {B}, (1, "gray"): {B, D}}
    found = counted(rows, named)
    assert (found["gray"].found, found["gray"].wrong) == (2, 1)
    by_id = {edited_id(*one): names for one, names in named.items()}
    assert count_kin(by_id, [A, B, C]) == 1


def test_the_second_video_of_a_file_may_be_named_but_not_taken_for_the_first() -> None:
    rows = fetched((0, "pip50"), (1, "pip50"), (2, "inside"))
    found = counted(rows, {(0, "pip50"): {B}, (1, "pip50"): {B, C}, (2, "inside"): {C, B}})
    assert found["pip50"] == recall("pip50", 2, 1, 0, 0, missed=("set/a",))
    # The one after the last is the first, not the second.
    assert found["inside"] == recall("inside", 1, 1, 1, 0)


def test_a_file_that_shows_two_videos_that_are_alike_says_nothing() -> None:
    rows = fetched((0, AS_IS), (1, AS_IS), (0, "pip50"), (1, "pip50"))
    found = counted(rows, {(0, AS_IS): {A}, (1, AS_IS): {B, A}, (0, "pip50"): {A}})
    assert found["pip50"] == recall("pip50", 1, 0, 0, 0, missed=("set/b",))
