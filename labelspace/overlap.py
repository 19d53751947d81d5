"""How much of a target's label list a label space covers, by five definitions (paper 4.2.1)."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from labelspace.hashtags import ARTICLES, label_words, stem_word

DEFINITIONS: Mapping[str, str] = {
    "exact": "The label, without spaces, case and articles, is one of ours.",
    "stems": "The words of the label have the same stems as those of one of ours, in any order.",
    "head": "As stems, or its first word alone has (of take-off: take; of spoon:wooden: spoon).",
    "members": "As stems, for the label or one of its synonyms.",
    "member_heads": "As head, for the label or one of its synonyms.",
}
"""Every definition of overlap in one sentence, the tightest first.

Each covers what the ones before it do, except that `members` need not cover all of `head`.
"""


@dataclass(frozen=True)
class Overlap:
    """Which of a target's labels a label space covers, by ever looser definitions.

    Report the definition with the number: the paper's 62% and 42% come without one.
    """

    targets: tuple[str, ...]
    """The target's labels, sorted; of the rest, those covered by the definition of that name."""
    exact: tuple[str, ...]
    stems: tuple[str, ...]
    head: tuple[str, ...]
    members: tuple[str, ...]
    member_heads: tuple[str, ...]

    def covered(self, definition: str) -> tuple[str, ...]:
        """The target's labels that are covered by one of `DEFINITIONS`, sorted.

        Raises:
            KeyError: there is no such definition.
        """
        covered: dict[str, tuple[str, ...]] = {name: getattr(self, name) for name in DEFINITIONS}
        return covered[definition]

    def uncovered(self, definition: str) -> tuple[str, ...]:
        """The others."""
        covered = set(self.covered(definition))
        return tuple(target for target in self.targets if target not in covered)

    def fractions(self) -> dict[str, float]:
        """Share of the target's labels covered, by definition; 0 for a target without labels."""
        total = max(len(self.targets), 1)
        return {name: len(self.covered(name)) / total for name in DEFINITIONS}


def overlap(
    labels: Iterable[str], target_labels: Mapping[str, Collection[str]] | Iterable[str]
) -> Overlap:
    """How much of a target's labels ours cover.

    Args:
        labels: our label space.
        target_labels: the target's labels, or of each its synonyms (the members of an EPIC class).

    Raises:
        LabelError: a label or synonym holds no letter or digit.

    >>> found = overlap(["catch", "make tea"], {"catching": [], "tea:make": [], "put": ["catch"]})
    >>> found.stems, found.members
    (('catching', 'tea:make'), ('catching', 'put', 'tea:make'))
    """
    synonyms = (
        target_labels if isinstance(target_labels, Mapping) else dict.fromkeys(target_labels, ())
    )
    ours = [_content_words(label) for label in labels]
    spelled = {"".join(words) for words in ours}
    bags = {_stems(words) for words in ours}
    covered: dict[str, list[str]] = {name: [] for name in DEFINITIONS}
    targets = tuple(sorted(synonyms))
    for target in targets:
        members = [_content_words(name) for name in (target, *synonyms[target])]
        for name, is_covered in zip(DEFINITIONS, _tests(members, spelled, bags), strict=True):
            if is_covered:
                covered[name].append(target)
    return Overlap(targets, **{name: tuple(found) for name, found in covered.items()})


def _tests(
    members: list[tuple[str, ...]], spelled: Collection[str], bags: Collection[tuple[str, ...]]
) -> Iterator[bool]:
    """Yield whether a target counts, by each definition; its own words are the first member."""
    words = members[0]
    exact = "".join(words) in spelled
    stems = exact or _stems(words) in bags
    head = stems or _stems(words[:1]) in bags
    member = stems or any(_stems(member) in bags for member in members)
    yield from (exact, stems, head, member)
    yield head or member or any(_stems(member[:1]) in bags for member in members)


def _content_words(label: str) -> tuple[str, ...]:
    words = label_words(label)
    return tuple(word for word in words if word not in ARTICLES) or words


def _stems(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(map(stem_word, words)))
