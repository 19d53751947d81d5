from dedup.stop_frames import MOST_SOURCES, TargetFrame, most_in_passing, stop_frames


def test_a_frame_stops_when_more_than_a_hundred_sources_and_a_ten_thousandth_show_it():
    card, scene = TargetFrame("bench", "a", 0.0), TargetFrame("bench", "a", 3.5)
    counts = {card: 101, scene: 100}
    assert stop_frames(counts, sources=4_000) == {card}
    assert stop_frames(counts, sources=1_000_000) == {card}
    assert stop_frames(counts, sources=1_010_000) == frozenset()
    assert stop_frames({card: 6501, scene: 6500}, sources=65_000_000) == {card}
    assert stop_frames({}, sources=10) == frozenset()


def test_forty_edits_of_each_target_never_make_a_stop_frame():
    assert most_in_passing(0) == most_in_passing(4_000) == MOST_SOURCES > 40
