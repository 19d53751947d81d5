"""What a finished dataset says of itself: ledger, summary, report page and card."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from formats.settings import load_settings
from formats.shards import digest_of
from formats.storage import write_text
from pipelines.judging.evaluation import EVALUATION
from pipelines.judging.precision import VERDICTS
from pipelines.ledger import write_ledger
from pipelines.options import Options
from pipelines.report import write_report
from pipelines.reporting.card import write_card
from pipelines.reporting.summary import Summary, summarise
from pipelines.run import STAGES, Job, JobError, exclusive, write_config
from pipelines.takedown import CONFIG, finish_takedown, offline_job

_OWN = "report."


def write_results(job: Job) -> Summary:
    """Write them anew if a stage ran, or what the report shows besides has changed.

    Raises:
        AccountingError: the fates do not add up to the catalog.
        JobError: a stage is not done.
    """
    stamp, now = Path(job.path("report", ".stages")), _state(job)
    if stamp.exists() and stamp.read_text() == now:
        return summarise(job.path())
    write_ledger(job)
    summary = summarise(job.path())
    write_report(job.path())
    write_card(job.path(), summary)
    write_text(str(stamp), now)
    return summary


def report_again(out: Path, settings: Sequence[str]) -> Summary:
    """The same for a dataset that lies there, with other settings of the report.

    Neither catalog nor seed set is needed: the options are those that the dataset was made with.

    Raises:
        JobError: the folder holds no finished dataset, or a setting is not of the report.
        SettingsError: there is no such setting.
    """
    job = offline_job(out)
    for setting in settings:
        if not setting.startswith(_OWN):
            raise JobError(f"report takes settings of {_OWN}* alone, not {setting!r}")
    with exclusive(out):
        finish_takedown(out)
        if settings:
            options = load_settings(Options, [str(out / CONFIG)], settings)
            job = replace(job, options=options)
            write_config(job)
        return write_results(job)


def _state(job: Job) -> str:
    """What all of it is made from, as a hash."""
    records = [_text(job.out / "stages" / f"{stage}.json") for stage in STAGES]
    measured = [_text(job.out / name) for name in (VERDICTS, EVALUATION)]
    return digest_of(records, asdict(job.options.report), measured)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
