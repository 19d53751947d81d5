"""Where the records of CSV and TSV text end, whatever quotes stand in it.

A field may stand in quotes, and then hold delimiters, line ends and doubled quotes. Text whose
quotes are all in order is cut up in numpy; text where one is not is walked record by record. There,
the first line of the record with the malformed quote is broken, and the next line is a record
again: one stray quote never swallows the rest of a file.
"""

import itertools
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.readers.blocks import Split

QUOTED_BYTES = 1 << 20
_FOLLOWED = "a quote is followed by text"
_NEVER_CLOSES = "a quote never closes"
_QUOTED = rb'"[^"]*+(?:""[^"]*+)*+"'
_QUOTE, _CR, _LF = b'"\r\n'
_LINE_END = rb"(?:\r\n|\r|\n)"
_UNDECIDED = -1


def is_malformed(field: bytes) -> bool:
    """Whether a field begins with a quote and is not one quoted text."""
    return field.startswith(b'"') and re.fullmatch(_QUOTED, field) is None


@dataclass(frozen=True)
class RecordSplitter:
    """Cuts text into the records of a table (a `blocks.Splitter`)."""

    delimiter: bytes
    columns: int
    """Of the table. A record of more than about twice as many fields is broken; without that limit
    each line of a hostile file could begin a record that runs to the file's end, and breaks there.
    """
    quoted_bytes: int = QUOTED_BYTES
    """A quote that closes later than this never closes."""

    def split(self, data: bytes, final: bool) -> Split:
        """The whole records of data, which begins with a record; all of it if it is final."""
        split = self._split_in_order(data, final)
        return self._walk(data, final) if split is None else split

    def line_ends(self, data: bytes, final: bool) -> NDArray[np.int64]:
        """One past each LF, CR LF or CR; not a CR at the end that may belong to a CR LF."""
        text = np.frombuffer(data, np.uint8)
        if b"\r" not in data:
            return np.flatnonzero(text == _LF) + 1
        followed = np.append(text[1:] == _LF, not final)
        return np.flatnonzero((text == _LF) | ((text == _CR) & ~followed)) + 1

    def split_fields(self, record: bytes) -> list[bytes]:
        """The fields of one record without its line end, quotes and all."""
        return [match[1] for match in self._field_and_end.finditer(record + b"\n")]

    def _split_in_order(self, data: bytes, final: bool) -> Split | None:
        """The records of text whose quotes are all in order; None where they are not."""
        text = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(text == _QUOTE)
        delimiters = np.flatnonzero(text == self.delimiter[0])
        ends = lines = self.line_ends(data, final)
        if len(quotes):
            if not self._in_order(text, quotes):
                return None
            ends = lines[np.searchsorted(quotes, lines) % 2 == 0]
            delimiters = delimiters[np.searchsorted(quotes, delimiters) % 2 == 0]
        if self._is_doubtful(ends, lines, len(data), final):
            return None
        fields = np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1
        return Split(ends, fields)

    def _in_order(self, text: NDArray[np.uint8], quotes: NDArray[np.int64]) -> bool:
        """Whether each field in quotes begins and ends where a field does."""
        outside = np.zeros(256, np.bool_)
        outside[[self.delimiter[0], _CR, _LF]] = True
        opening, closing = quotes[0::2], quotes[1::2]
        doubled = closing[: len(opening) - 1] + 1 == opening[1:]
        first = np.append(True, ~doubled)
        last = np.append(~doubled, True)[: len(closing)]
        before, after = opening[first] - 1, closing[last] + 1
        before, after = before[before >= 0], after[after < len(text)]
        return bool(outside[text[before]].all() and outside[text[after]].all())

    def _is_doubtful(
        self, ends: NDArray[np.int64], lines: NDArray[np.int64], size: int, final: bool
    ) -> bool:
        """Whether a record may hold a quote that never closes, or rows with literal quotes."""
        last = int(ends[-1]) if len(ends) else 0
        longest = max(int(np.diff(ends, prepend=0).max(initial=0)), size - last)
        within = int(np.searchsorted(lines, last, side="right"))
        runs_over_lines = self.delimiter == b"\t" and within > len(ends)
        return longest > self.quoted_bytes or runs_over_lines or (final and last != size)

    def _walk(self, data: bytes, final: bool) -> Split:
        """The same, record by record, whatever the quotes."""
        ends: list[int] = []
        fields: list[int] = []
        reasons: dict[int, str] = {}
        literal: set[int] = set()
        start, last = 0, len(data) - (not final and data.endswith(b"\r"))
        while start < last:
            end, reason = self._next_record(data, start, last, final)
            if end == _UNDECIDED:
                break
            lines = self._literal_lines(data[start:end], reason)
            literal.update(range(len(ends), len(ends) + len(lines)))
            if reason and not lines:
                reasons[len(ends)] = reason
            fields.extend([self.columns] * len(lines) or [self._count_fields(data[start:end])])
            ends.extend([start + line for line in lines] or [end])
            start = end
        counts = np.array(fields, np.int64)
        return Split(np.array(ends, np.int64), counts, reasons, frozenset(literal))

    def _next_record(self, data: bytes, start: int, last: int, final: bool) -> tuple[int, str]:
        """Where the record ends, and what is wrong: a broken one ends with its first line."""
        record = self._record.match(data, start, last)
        if record and record.end() - start <= self.quoted_bytes:
            return record.end(), ""
        line = self._line.match(data, start, last)
        reason = self._find_fault(data, start, last, final)
        if line is None or reason is None:
            return _UNDECIDED, ""
        return (record.end() if record and not reason else line.end()), reason

    def _find_fault(self, data: bytes, start: int, last: int, final: bool) -> str | None:
        """What is wrong with the quotes of a record; None: more text will tell."""
        for _ in range(self._most_fields):
            quoted = self._quoted.match(data, start, last)
            if data[start : start + 1] == b'"':
                length = (quoted.end() if quoted else last) - start
                if length > self.quoted_bytes or (final and not quoted):
                    return _NEVER_CLOSES
                if not quoted or (quoted.end() == last and not final):
                    return None
            field = self._field_and_end.match(data, start, last)
            if field is None:
                return _FOLLOWED if quoted else None
            if not field[0].endswith(self.delimiter):
                return ""
            start = field.end()
        return ""

    def _literal_lines(self, record: bytes, reason: str) -> list[int]:
        """The ends of a record's lines, if each is a whole row once its quotes are taken literally.

        Only of tab-separated text, which is often written without quoting, and only where the
        quotes make no sense, or would join what look like rows.
        """
        if self.delimiter != b"\t" or (not reason and b'"' not in record):
            return []
        lines = [int(end) for end in self.line_ends(record, True)]
        if not reason and len(lines) == 1:
            return []
        pieces = (record[start:end] for start, end in itertools.pairwise([0, *lines]))
        whole = all(piece.count(b"\t") + 1 == self.columns for piece in pieces)
        return lines if whole else []

    def _count_fields(self, record: bytes) -> int:
        if b'"' not in record:
            return record.count(self.delimiter) + 1
        return sum(1 for _ in self._field_and_end.finditer(record))

    @property
    def _most_fields(self) -> int:
        return 2 * self.columns + 10

    @cached_property
    def _quoted(self) -> re.Pattern[bytes]:
        return re.compile(_QUOTED)

    @cached_property
    def _line(self) -> re.Pattern[bytes]:
        return re.compile(rb"[^\r\n]*+" + _LINE_END)

    @cached_property
    def _field_and_end(self) -> re.Pattern[bytes]:
        return re.compile(rb"(%s)(?:%s|%s)" % (self._field, self._separator, _LINE_END))

    @cached_property
    def _record(self) -> re.Pattern[bytes]:
        more = rb"(?:%s%s){0,%d}+" % (self._separator, self._field, self._most_fields)
        return re.compile(self._field + more + _LINE_END)

    @property
    def _separator(self) -> bytes:
        return re.escape(self.delimiter)

    @property
    def _field(self) -> bytes:
        outside = self._separator + rb"\r\n"
        return rb'(?:%s(?=[%s])|(?!")[^%s]*+)' % (_QUOTED, outside, outside)
