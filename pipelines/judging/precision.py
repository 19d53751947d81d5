"""The precision of removing, measured on the removals that people judged."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from formats.storage import write_text
from pipelines.judging.audit_sample import STRATA, say_stratum
from pipelines.judging.verdicts import DIFFERENT, SAME, UNSURE
from pipelines.reporting.intervals import Estimate, Stratum, of_sample, of_strata
from pipelines.run import JobError, read_record

VERDICTS = "audit/verdicts.json"


@dataclass(frozen=True)
class Judged:
    """One stratum of the removals and what was said of its sample."""

    name: str
    meaning: str
    removals: int
    sampled: int
    same: int
    different: int
    unsure: int
    precision: Estimate | None
    """Of those judged same or different; None if there is none."""


@dataclass(frozen=True)
class Precision:
    """`OUT/audit/verdicts.json`: how many removals were right, as far as people could tell.

    Counts and shares alone: it names no video, so that a takedown need not touch it.
    """

    duplicates: str
    """Digest of what the stage deduplicate had left when the sample was drawn."""
    near_bits: int
    strata: tuple[Judged, ...]
    overall: Estimate | None
    """Of all removals, each stratum weighted by its size; None if one has no verdict."""
    overall_unsure_different: Estimate | None
    """The same if every unsure pair were different."""


@dataclass(frozen=True)
class SampleFacts:
    """`OUT/audit/sample.json`: what was drawn, so that verdicts can be weighed later."""

    duplicates: str
    rng_seed: int
    near_bits: int
    sizes: Mapping[str, int]
    """Removals by stratum."""
    pairs: Mapping[str, str]
    """The stratum of each pair drawn."""


def measure(facts: SampleFacts, verdicts: Mapping[str, str]) -> Precision:
    """The precision of removing, by stratum and over all.

    Unsure ones are left out, as if they had not been drawn.
    """
    counts = {name: Counter[str]() for name in STRATA}
    for pair, word in verdicts.items():
        counts[facts.pairs[pair]][word] += 1
    drawn = Counter(facts.pairs.values())
    strata = tuple(_judged(name, facts, drawn[name], counts[name]) for name in STRATA)
    clear = [Stratum(s.removals, s.same + s.different, s.same) for s in strata]
    strict = [Stratum(s.removals, s.same + s.different + s.unsure, s.same) for s in strata]
    return Precision(
        facts.duplicates,
        facts.near_bits,
        tuple(stratum for stratum in strata if stratum.removals),
        of_strata(clear),
        of_strata(strict),
    )


def write_precision(out: Path, found: Precision) -> None:
    """Write `audit/verdicts.json`."""
    write_text(str(out / VERDICTS), json.dumps(asdict(found), indent=1) + "\n")


def read_precision(out: Path) -> Precision | None:
    """What was measured last; None if nothing was.

    Raises:
        JobError: the file is damaged.
    """
    path = out / VERDICTS
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        strata = tuple(
            Judged(**{**one, "precision": _estimate(one["precision"])}) for one in found["strata"]
        )
        shares = {name: _estimate(found[name]) for name in _SHARES}
        return Precision(**{**found, "strata": strata, **shares})
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(
            f"{path}: cannot be read; delete it, or run make audit again with VERDICTS"
        ) from error


def say_precision(found: Precision, out: Path) -> Iterator[str]:
    """One sentence for each thing measured; plain text without anything of strangers."""
    for one in found.strata:
        judged = one.same + one.different
        said = f"{one.same:,} of {judged:,} judged right" if judged else "none judged"
        share = f", {say(one.precision)}" if one.precision else ""
        unsure = f", {one.unsure:,} unsure left out" if one.unsure else ""
        yield f"{one.name} ({one.meaning}; {one.removals:,} in all): {said}{share}{unsure}"
    if found.overall is None:
        yield "all removals: no estimate, for a group has no verdict"
    else:
        yield (
            f"all removals, each group weighted by its size: {say(found.overall)}"
            + _strictly(found)
        )
    record = read_record("deduplicate", out)
    if record is None or record.result_digest != found.duplicates:
        yield "the duplicates have changed since; judge a new sample with `make audit`"


def say(share: Estimate) -> str:
    """A share with its interval, in per cent.

    >>> say(Estimate(0.9, 0.7869, 0.9566))
    'precision 90.0 % (95 %: 78.7 to 95.7 %)'
    """
    if share.low == share.high:
        return f"precision {100 * share.share:.1f} % (all were judged)"
    low, high = 100 * share.low, 100 * share.high
    return f"precision {100 * share.share:.1f} % (95 %: {low:.1f} to {high:.1f} %)"


_SHARES = ("overall", "overall_unsure_different")


def _strictly(found: Precision) -> str:
    strict = found.overall_unsure_different
    if strict is None or strict == found.overall:
        return ""
    return f"; if every unsure one were different, {say(strict)}"


def _judged(name: str, facts: SampleFacts, sampled: int, said: Counter[str]) -> Judged:
    size = facts.sizes.get(name, 0)
    clear = said[SAME] + said[DIFFERENT]
    return Judged(
        name=name,
        meaning=say_stratum(name, facts.near_bits),
        removals=size,
        sampled=sampled,
        same=said[SAME],
        different=said[DIFFERENT],
        unsure=said[UNSURE],
        precision=of_sample(Stratum(size, clear, said[SAME])) if clear else None,
    )


def _estimate(values: list[float] | None) -> Estimate | None:
    return None if values is None else Estimate(*values)
