"""What `make dedup-eval` measured, as a part of the dataset card and of the report page."""

from pipelines.judging.evaluation import read_evaluation, sentences
from pipelines.reporting.markdown import escape
from pipelines.reporting.markdown import table as markdown_table
from pipelines.reporting.markup import meter, text
from pipelines.reporting.markup import table as html_table


def recall_card(folder: str) -> list[str]:
    """Paragraphs of Markdown; none if it was not measured.

    Raises:
        JobError: the file is damaged.
    """
    found = read_evaluation(folder)
    if found is None:
        return []
    rows = [
        (escape(row.edit), escape(row.says), f"{row.files:,}", f"{row.recall:.3f}")
        for row in found.edits
    ]
    said = "\n".join(f"- {line}" for line in sentences(found))
    return [
        f"Measured on re-edits of the targets themselves (`make dedup-eval`):\n\n{said}",
        markdown_table(("Edit", "What it is", "Files:", "Found:"), rows),
    ]


def recall_section(folder: str) -> str:
    """The same as HTML; empty if it was not measured.

    Raises:
        JobError: the file is damaged.
    """
    found = read_evaluation(folder)
    if found is None:
        return ""
    rows = [
        (text(row.edit), text(row.says), f"{row.recall:.3f}", meter(row.found, max(1, row.files)))
        for row in found.edits
    ]
    said = "".join(f"<li>{text(line, limit=400)}</li>" for line in sentences(found))
    shown = html_table(("Edit", "What it is", "Found:n", ":bar"), rows)
    return (
        "<h3>Edited target videos found</h3>"
        f'<ul class="audit">{said}</ul><details><summary>By edit</summary>{shown}</details>'
    )
