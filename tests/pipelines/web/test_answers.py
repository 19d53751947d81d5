import email.utils

import pytest

from formats.tables import Reason
from pipelines.web.answers import opts_out, product_token, retry_after_s, status_trouble


def test_a_retry_after_date_counts_from_the_servers_clock():
    now = email.utils.formatdate(1_000_000_000, usegmt=True)
    later = email.utils.formatdate(1_000_000_007, usegmt=True)
    assert retry_after_s({"Retry-After": later, "Date": now}) == 7.0
    assert retry_after_s({"Retry-After": now, "Date": later}) == 0.0
    assert retry_after_s({"Retry-After": later}) == 0.0  # By our clock: long ago.


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "soon",
        "-5",
        "1e9",
        "\u0665",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2020 00:00:00 +99999999999999999999",
    ],
)
def test_a_retry_after_that_cannot_be_read_asks_for_nothing(nonsense):
    assert retry_after_s({"Retry-After": nonsense}) == 0.0


def test_a_busy_server_says_how_long():
    trouble = status_trouble(429, {"Retry-After": "7"})
    assert (trouble.reason, trouble.status, trouble.after_s) == (Reason.BUSY, 429, 7.0)
    assert trouble.again and trouble.later


@pytest.mark.parametrize(
    "value",
    [
        "noai",
        "NOINDEX",
        "nofollow , NoImageAI",
        "tagreel: noai",
        "Tagreel: nofollow, noindex",
        "otherbot: nofollow, tagreel: noindex",
        "*: none",
        "max-snippet: -1, noai",
        "max-image-preview:large, max-video-preview:-1, noimageindex",
        "unavailable_after: 25 Jun 2030 15:00:00 PST, noindex",
        "unavailable_after: Wed, 25-Jun-30 15:00:00 UTC, noindex",
        "unavailable_after: 2030-06-25T15:00:00+00:00, noai",
    ],
)
def test_opt_outs_are_found_wherever_they_stand(value):
    assert opts_out(value, "tagreel")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "all",
        ":",
        "nofollow, nosnippet",
        "otherbot: noindex",
        "otherbot: max-snippet: -1, noai",
        "tagreel: nofollow, otherbot: noai",
        "tag: noai",
        "max-image-preview: none",
        "unavailable_after: 25 Jun 2010 15:00:00 PST",
    ],
)
def test_what_opts_nobody_out_of_ours(value):
    assert not opts_out(value, "tagreel")


def test_an_agent_is_known_by_its_name():
    assert product_token("Tagreel") == product_token(" tagReel/0.1 (+https://a/b)") == "tagreel"
