import re
from xml.etree import ElementTree

import pytest

from pipelines.reporting.plots import (
    cumulative_shares,
    draw_cumulative_share,
    draw_videos_per_label,
)

COUNTS = [400, 90, 41, 12, 9, 5, 5, 2]


def test_the_same_counts_in_any_order_give_the_same_bytes():
    assert draw_videos_per_label(COUNTS, min_videos=2) == draw_videos_per_label(
        COUNTS[::-1], min_videos=2
    )
    assert draw_cumulative_share(COUNTS) == draw_cumulative_share(COUNTS[::-1])


@pytest.mark.parametrize("counts", [COUNTS, [7], [50] * 3, list(range(2000, 50, -1))])
def test_drawings_are_whole_svg_that_needs_nothing_from_outside(counts):
    for svg in (draw_videos_per_label(counts, min_videos=50), draw_cumulative_share(counts)):
        assert ElementTree.fromstring(svg).tag == "svg"
        assert "<style" not in svg and "font-family" not in svg
        assert set(re.findall(r'https?://[^"]*', svg)) == {"http://www.w3.org/1999/xlink"}
        assert set(re.findall(r'xlink:href="(.)', svg)) == {"#"}


def test_every_colour_is_one_of_the_page_so_that_it_serves_light_and_dark():
    for svg in (draw_videos_per_label(COUNTS, min_videos=2), draw_cumulative_share(COUNTS)):
        colours = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg))
        assert colours <= {
            "none", "var(--ink)", "var(--muted)", "var(--line)", "var(--accent)"
        }  # fmt: skip
        assert "var(--accent)" in colours


def test_ids_of_two_drawings_on_one_page_do_not_clash_unless_they_mean_the_same():
    drawings = draw_videos_per_label(COUNTS, min_videos=2), draw_cumulative_share(COUNTS)
    ids = [set(re.findall(r' id="([^"]*)"', svg)) for svg in drawings]
    assert ids[0] and ids[1] and not ids[0] & ids[1]


def test_there_is_one_column_per_label_and_a_line_at_the_threshold():
    svg = draw_videos_per_label(COUNTS, min_videos=2)
    assert len(re.findall(r'style="fill: var\(--accent\)"', svg)) == len(COUNTS)
    assert len(re.findall(r"stroke-dasharray", svg)) == 1


@pytest.mark.parametrize("labels", [1, 2, 11])
def test_ranks_are_whole_numbers(labels):
    svg = draw_videos_per_label([7] * labels, min_videos=1)
    marked = re.findall(r"<text[^>]*>([^<]*)<", svg)
    ranks = marked[: marked.index("label, by rank")]
    assert ranks and all(1 <= int(rank) <= labels for rank in ranks)


def test_shares_are_of_the_largest_labels():
    assert cumulative_shares([1, 5, 4]) == [0.0, 0.5, 0.9, 1.0]
    assert cumulative_shares([2, 2]) == [0.0, 0.5, 1.0]
