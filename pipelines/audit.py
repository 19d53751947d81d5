"""`make audit`: a page on which a person judges removed videos, and the precision it comes to."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from string import Template

from formats.storage import write_text
from pipelines.judging.audit_sample import STRATA, AuditSample, Drawn, draw_sample, say_stratum
from pipelines.judging.precision import (
    VERDICTS,
    Precision,
    SampleFacts,
    measure,
    say_precision,
    write_precision,
)
from pipelines.judging.verdicts import WORDS, read_verdicts
from pipelines.removal.takedown_list import read_list
from pipelines.reporting.markup import text
from pipelines.reporting.pairs import (
    Pair,
    draw_pairs,
    read_evidence,
    say_evidence,
    say_source,
    say_target,
    show_pair,
)
from pipelines.reporting.summary import dataset_options
from pipelines.run import JobError, exclusive, read_record
from pipelines.world.truth import write_csv

PAGE, PAIRS, SAMPLE = "audit/index.html", "audit/pairs.csv", "audit/sample.json"
NAMING = (PAGE, PAIRS, SAMPLE)
"""What names videos, and so must go when one of them is taken down."""
_HEIGHT = 240
_COLUMNS = (
    *("pair", "verdict", "stratum", "evidence", "min_distance", "matched_frames"),
    *("video_id", "uri", "source_second", "target", "target_video_id", "target_uri"),
    "target_second",
)


def lines(out: Path, pairs: int, verdicts: str) -> Iterator[str]:
    """Write the page, or with a file of verdicts measure; what to tell the user, line by line.

    Raises:
        JobError: as `write_audit` and `read_audit`, or a takedown was cut.
        TableError: a table is missing or damaged.
    """
    _duplicates_digest(out)
    with exclusive(out):
        if read_list(out).unfinished is not None:
            raise JobError(f"{out}: a takedown was cut; run it, or `make dataset`, to finish it")
        if not verdicts:
            yield _say_sample(write_audit(out, pairs), out)
            return
        yield from say_precision(read_audit(out, verdicts), out)
        yield f"kept in {out / VERDICTS}; `make report` puts it into the report and the card"


def write_audit(out: Path, pairs: int) -> AuditSample:
    """Draw so many removals and write the page, `pairs.csv` to fill by hand, and `sample.json`.

    Raises:
        JobError: nothing was removed, the stage deduplicate is not done, or pairs is not positive.
        TableError: a table is missing or damaged.
    """
    if pairs < 1:
        raise JobError(f"audit shows at least 1 pair, not {pairs}; N says how many")
    digest, options = _duplicates_digest(out), dataset_options(str(out))
    near_bits, rng_seed = options.report.near_bits, options.run.rng_seed
    sample = draw_sample(
        read_evidence(str(out)),
        options.deduplicate.thresholds(),
        pairs=pairs,
        near_bits=near_bits,
        rng_seed=rng_seed,
    )
    if not sample.drawn:
        raise JobError(f"{out}: no video was removed as a duplicate, so there is nothing to judge")
    drawn = draw_pairs(str(out), [one.row for one in sample.drawn], height=_HEIGHT)
    facts = SampleFacts(
        digest, rng_seed, near_bits, sample.sizes, {one.pair: one.stratum for one in sample.drawn}
    )
    write_text(str(out / PAGE), _page(out, sample, drawn, facts))
    rows = [_cells(one, pair) for one, pair in zip(sample.drawn, drawn, strict=True)]
    write_csv(str(out / PAIRS), _COLUMNS, rows)
    write_text(str(out / SAMPLE), json.dumps(asdict(facts), indent=1) + "\n")
    return sample


def read_audit(out: Path, path: str) -> Precision:
    """Measure the precision by the verdicts of a CSV file, and write `verdicts.json`.

    Raises:
        JobError: there is no page that fits the duplicates, or the file is not of it.
    """
    facts = _read_sample(out)
    if facts.duplicates != _duplicates_digest(out):
        raise JobError(
            f"{out / SAMPLE}: the duplicates have changed since the page was written; "
            "run make audit without VERDICTS first"
        )
    verdicts = read_verdicts(path, facts.pairs)
    if not verdicts:
        raise JobError(f"{path}: holds no verdict yet; write same, different or unsure")
    found = measure(facts, verdicts)
    write_precision(out, found)
    return found


def _say_sample(sample: AuditSample, out: Path) -> str:
    drawn = [one.stratum for one in sample.drawn]
    counts = ", ".join(
        f"{drawn.count(name):,} of {sample.sizes[name]:,} {name}"
        for name in STRATA
        if sample.sizes[name]
    )
    return (
        f"{len(drawn):,} of {sum(sample.sizes.values()):,} removals drawn: {counts}\n"
        f"judge them in {out / PAGE} (or fill {out / PAIRS}), then: "
        f'make audit OUT="{out}" VERDICTS=verdicts.csv'
    )


def _duplicates_digest(out: Path) -> str:
    record = read_record("deduplicate", out)
    if record is None:
        raise JobError(f"{out}: holds no duplicates; run make deduplicate or make dataset first")
    return record.result_digest


def _read_sample(out: Path) -> SampleFacts:
    try:
        return SampleFacts(**json.loads((out / SAMPLE).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise JobError(
            f"{out}: no pairs were drawn here; run make audit without VERDICTS first"
        ) from error
    except (ValueError, TypeError) as error:
        raise JobError(
            f"{out / SAMPLE}: cannot be read; run make audit without VERDICTS again"
        ) from error


def _page(out: Path, sample: AuditSample, drawn: list[Pair], facts: SampleFacts) -> str:
    shipped = files("pipelines")
    script = shipped.joinpath("audit.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    strata = "".join(
        f"<li><b>{name}</b>: {text(say_stratum(name, facts.near_bits))}; "
        f"{sample.sizes[name]:,} removals</li>"
        for name in STRATA
        if sample.sizes[name]
    )
    cards = zip(sample.drawn, drawn, strict=True)
    template = Template(shipped.joinpath("audit.html").read_text(encoding="utf-8"))
    return template.substitute(
        name=text(out.resolve().name),
        audit=hashlib.sha256("".join(facts.pairs).encode()).hexdigest()[:16],
        script=script,
        script_digest=digest,
        count=f"{len(drawn):,}",
        removals=f"{sum(sample.sizes.values()):,}",
        strata=strata,
        pairs="".join(_card(number, *card) for number, card in enumerate(cards, 1)),
    )


def _card(number: int, one: Drawn, pair: Pair) -> str:
    buttons = "".join(
        f'<button type="button" data-verdict="{word}"><kbd>{key}</kbd> {word}</button>'
        for key, word in enumerate(WORDS, 1)
    )
    return (
        f'<li class="pair" data-pair="{one.pair}"><p class="evidence"><span>{number}</span> '
        f"{say_evidence(pair.row)} · {one.stratum}</p>{show_pair(pair)}"
        f'<div class="names"><p>{say_source(pair)}</p><p>{say_target(pair)}</p></div>'
        f'<div class="verdicts">{buttons}</div></li>'
    )


def _cells(one: Drawn, pair: Pair) -> tuple[str, ...]:
    row = one.row
    evidence = row.tier if not row.variant else f"{row.version} / {row.variant}"
    return (
        *(one.pair, "", one.stratum, _cell(evidence)),
        *(str(row.min_distance), str(row.matched_frames), _cell(row.video_id)),
        *(_cell(pair.source.uri), f"{row.source_second:.2f}", _cell(row.target)),
        *(_cell(row.target_video_id), _cell(pair.target.uri), f"{row.target_second:.2f}"),
    )


def _cell(value: str) -> str:
    """A stranger's text as a cell: on one line, and no formula to any spreadsheet."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)
    return f"'{line}" if line.lstrip().startswith(("=", "+", "-", "@")) else line
