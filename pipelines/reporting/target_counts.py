"""How much of each target set could be hashed: a copy of the rest goes unseen."""

from dataclasses import dataclass
from pathlib import Path

from formats.tables import TargetVideoRow, read_batches, schema_of


@dataclass(frozen=True)
class TargetCount:
    """What a target set lists, and what of it source videos are compared with."""

    videos: int
    hashed: int

    def say_unseen(self) -> str | None:
        """What may remain because it was not compared, for people; None if nothing."""
        lost = self.videos - self.hashed
        if not lost:
            return None
        others = "the other" if lost == 1 else f"the other {lost:,}"
        counts = f"{self.hashed:,} of {self.videos:,} target videos hashed"
        return f"{counts}; copies of {others} may remain"


def count_targets(folder: str) -> dict[str, TargetCount]:
    """The counts of a dataset's target sets, by name.

    Raises:
        TableError: a set's table is damaged.
    """
    schema, counts = schema_of(TargetVideoRow, "failure"), {}
    for path in sorted(Path(folder, "target_videos").glob("*.parquet")):
        failures = [batch.column("failure") for batch in read_batches(str(path), schema)]
        hashed = sum(column.null_count for column in failures)
        counts[path.stem] = TargetCount(sum(map(len, failures)), hashed)
    return counts
