"""Which rows of the catalog the user leaves out, by what the catalog says of them."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.options import MatchOptions

# Why a row that can be read is left out, in the order in which it is asked.
FILTERS = ("photo", "duration", "licence", "uploader")


def failures(
    rows: pa.RecordBatch, options: MatchOptions
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """(filter, which rows it leaves out), for the filters that are on."""
    if options.min_duration_s or options.max_duration_s:
        seconds = rows.column("duration_s").to_numpy(zero_copy_only=False)
        longest = options.max_duration_s or np.inf
        # A length that is not stated compares as neither: decoding will tell.
        yield "duration", (seconds < options.min_duration_s) | (seconds > longest)
    if options.licences:
        allowed = pa.array([_plain(licence) for licence in options.licences])
        stated = pc.utf8_lower(pc.utf8_trim_whitespace(rows.column("licence")))
        yield "licence", ~_mask(pc.is_in(stated, value_set=allowed))
    if options.exclude_uploaders:
        excluded = pa.array(options.exclude_uploaders, pa.string())
        yield "uploader", _mask(pc.is_in(rows.column("uploader"), value_set=excluded))


def _plain(licence: str) -> str:
    lower: str = pc.utf8_lower(pa.scalar(licence.strip())).as_py()
    return lower


def _mask(array: pa.BooleanArray) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = array.to_numpy(zero_copy_only=False)
    return mask
