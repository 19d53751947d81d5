from formats.tables import DuplicateRow, LedgerRow, MatchRow, RepostRow, to_batch
from pipelines.joins import FetchedVideo, RowKey
from pipelines.ledger import find_fates

FATES = {
    "a": ("rejected", "gone", "fetch"),
    "b": ("retry_later", "busy", "fetch"),
    "c": ("duplicate", "bench", "deduplicate"),
    "h": ("duplicate", "repost of f", "deduplicate"),
    "d": ("label_too_small", "min_videos", "label"),
    "e": ("not_sampled", None, "split"),
    "f": ("clip", None, "shard"),
    "g": ("not_sampled", "label_subset", "label"),
}
REPOST = RepostRow("h", "vh", "f", "f", 2, 0.0, 3, "raw", 0.0, 0.0, "raw", "frames")
LABELS = {"g": ("not drawn", "rare")}
DROPPED = {"rare": "min_videos", "not drawn": "label_subset"}


def test_every_match_has_the_fate_of_the_first_stage_that_dropped_it() -> None:
    status = {"a": "rejected", "b": "retry_later"}
    tables = {
        "matches": [
            to_batch(
                [MatchRow(k, f"v{k}", "u", LABELS.get(k, ("rare",)), ()) for k in FATES], MatchRow
            )
        ],
        "videos": [
            to_batch(
                [
                    FetchedVideo(
                        k, f"v{k}", status.get(k, "stored"), FATES[k][1], None, None, None, None, 1
                    )
                    for k in FATES
                ],
                FetchedVideo,
            )
        ],
        "duplicates": [
            to_batch([DuplicateRow("c", "vc", "bench", "t", 1, 0.0, 3, "full")], DuplicateRow)
        ],
        "reposts": [to_batch([REPOST], RepostRow)],
        "labelled": [to_batch([RowKey("e"), RowKey("f")], RowKey)],
        "clips/all": [to_batch([RowKey("f")], RowKey)],
    }
    assert list(find_fates(0, tables, ["clips/all"], DROPPED)) == [
        LedgerRow(key, f"v{key}", *fate) for key, fate in FATES.items()
    ]
