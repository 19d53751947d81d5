from formats.tables import to_batch
from pipelines.joins import FetchedVideo, keys_of, latest_videos


def video(key: str, status: str, tries: int, part: str | None = None) -> FetchedVideo:
    return FetchedVideo(key, f"id {key}", status, None, part, None, None, None, tries)


def test_a_final_outcome_stands_over_one_to_retry_and_more_tries_over_fewer() -> None:
    rows = [
        video("a", "retry_later", 3),
        video("a", "stored", 1, "part-1.tar"),
        video("b", "retry_later", 1),
        video("b", "retry_later", 2),
        video("c", "rejected", 1),
        video("c", "retry_later", 9),
    ]
    for order in (rows, rows[::-1]):
        latest = latest_videos([to_batch([row], FetchedVideo) for row in order])
        assert latest == {"a": rows[1], "b": rows[3], "c": rows[4]}


def test_of_a_video_that_was_tried_again_the_best_and_then_the_later_outcome_stands() -> None:
    rows = [
        video("a", "rejected", 9),
        video("a", "stored", 10, "part-2.tar"),
        video("b", "stored", 2, "part-1.tar"),
        video("b", "rejected", 9),
        video("c", "rejected", 1),
        video("c", "rejected", 2),
        video("c", "retry_later", 3),
    ]
    for order in (rows, rows[::-1]):
        latest = latest_videos([to_batch([row], FetchedVideo) for row in order])
        assert latest == {"a": rows[1], "b": rows[2], "c": rows[5]}


def test_keys_are_those_of_every_batch() -> None:
    batches = [to_batch([video(key, "stored", 1)], FetchedVideo) for key in "ab"]
    assert keys_of(batches) == {"a", "b"}
