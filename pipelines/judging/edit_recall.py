"""Recall on edited target videos, counted edit by edit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from formats.edits import AS_IS, EDITS
from formats.tables import VideoRow
from pipelines.joins import STORED
from pipelines.judging.reedits import edit_of, edited_id

Name = tuple[str, str]
"""A target video: its set and its id."""


@dataclass(frozen=True)
class EditRecall:
    """What became of the files that one edit made."""

    edit: str
    says: str
    files: int
    """Accepted by fetch and compared."""
    found: int
    """Among them those of which the target video was named."""
    wrong: int
    """Those of which a target video was named that the unedited video is not like."""
    rejected: int
    """By fetch: they would be in no dataset."""
    missed: tuple[str, ...]
    """`target/video_id` of the others, sorted."""

    @property
    def recall(self) -> float:
        """Found of the files; of no file, 0."""
        return self.found / self.files if self.files else 0.0


def count_edits(
    rows: Iterable[VideoRow], found: Mapping[str, set[Name]], originals: Sequence[Name]
) -> tuple[EditRecall, ...]:
    """The recall of each edit, in their order.

    Two target videos may be alike unedited (`kin`): to name both is no error. Nor is it to name the
    second video of a file that shows two; such a file says nothing if the two are kin.

    Args:
        rows: The edited files as fetched.
        found: The target videos that each was found to overlap, by video_id.
        originals: The target video that each unit edited; its second video is the next one.
    """
    kin = {
        number: found.get(edited_id(number, AS_IS), set()) | {name}
        for number, name in enumerate(originals)
    }
    files: dict[str, dict[int, str]] = {edit: {} for edit in EDITS}
    for row in rows:
        number, edit = edit_of(row.video_id)
        files[edit][number] = row.status
    counted = []
    for edit, statuses in files.items():
        numbers = [number for number, status in statuses.items() if status == STORED]
        rejected = len(statuses) - len(numbers)
        pairs = []
        for number in numbers:
            other = (number + 1) % len(originals)
            if EDITS[edit].holds_other and originals[number] in kin[other]:
                continue
            right = kin[number] | (kin[other] if EDITS[edit].holds_other else set())
            pairs.append((originals[number], found.get(edited_id(number, edit), set()), right))
        counted.append(_count(edit, pairs, rejected))
    return tuple(counted)


def count_kin(found: Mapping[str, set[Name]], originals: Sequence[Name]) -> int:
    """How many other target videos the unedited ones are like."""
    return sum(
        len(found.get(edited_id(number, AS_IS), set()) - {name})
        for number, name in enumerate(originals)
    )


def _count(
    edit: str, files: Sequence[tuple[Name, set[Name], set[Name]]], rejected: int
) -> EditRecall:
    """Files as (what it is of, what it was found to be of, what it may be found to be of)."""
    missed = sorted("/".join(name) for name, named, _ in files if name not in named)
    return EditRecall(
        edit=edit,
        says=EDITS[edit].says,
        files=len(files),
        found=len(files) - len(missed),
        wrong=sum(bool(named - right) for _, named, right in files),
        rejected=rejected,
        missed=tuple(missed),
    )
