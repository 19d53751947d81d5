"""How a robots.txt is read, whatever it holds."""

import time

import pytest

from pipelines.web.robots import read_rules


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", True),
        ("User-agent: *\nDisallow:", True),
        ("User-agent: *\nDisallow: /", False),
        ("\ufeffUSER-AGENT: *\r\nDISALLOW: /\r\n", False),
        ("User-agent: *\rDisallow: /a", False),
        ("User-agent: *\nDisallow: /a/\nAllow: /a/b", True),
        ("User-agent: *\nAllow: /a/b\nDisallow: /a/b/", False),
        ("User-agent: *\nDisallow: /a/b/c.mp4\nAllow: /a/b/c.mp4", True),
        ("User-agent: *\nDisallow: /*.mp4$", False),
        ("User-agent: *\nDisallow: /*.mp$", True),
        ("User-agent: *\nDisallow: /*/*/c", False),
        ("User-agent: *\nDisallow: /%61/b", False),
        ("User-agent: *\nDisallow: /A", True),
        ("User-agent: Tagreel\nDisallow: /", False),
        ("User-agent: TAGREEL/0.1 # us\nDisallow: /", False),
        ("User-agent: *\nDisallow: /\n\nUser-agent: tagreel\nDisallow: /b", True),
        ("User-agent: tag\nDisallow: /", True),
        ("User-agent: reel\nDisallow: /", True),
        ("User-agent: tagreelbot\nDisallow: /", True),
        ("User-agent: x\nUser-agent: tagreel\nDisallow: /", False),
        ("User-agent: tagreel\nAllow: /b\nUser-agent: x\nUser-agent: tagreel\nDisallow: /a", False),
        ("Disallow: /", True),
        ("<html>User-agent: * Disallow: /</html>", True),
        ("User-agent: *\nSitemap: /s\nDisallow: /a", False),
        ("\0\0\nUser-agent: *\nDisallow: /\0", True),
    ],
)
def test_rules_are_read_as_the_rfc_has_it(text, allowed):
    assert read_rules(text.encode(), "tagreel").allow("/a/b/c.mp4") is allowed


def test_only_whole_lines_of_the_first_500_kib_count():
    start = b"User-agent: *\nDisallow: /private\n"
    room = 500 * 1024 - len(start)
    late = read_rules(start + b"#" * (room - 11) + b"\nDisallow: /v", "tagreel")
    assert late.allow("/video.mp4") and not late.allow("/private")
    whole_line = read_rules(start + b"#" * (room - 14) + b"\nDisallow: /v\n", "tagreel")
    assert not whole_line.allow("/video.mp4")


@pytest.mark.parametrize(
    ("value", "delay_s"), [("2.5", 2.5), ("86400", 30.0), ("-1", 0.0), ("inf", 0.0), ("x", 0.0)]
)
def test_a_crawl_delay_is_a_number_of_seconds_up_to_half_a_minute(value, delay_s):
    text = f"User-agent: *\nCrawl-delay: {value}\nUser-agent: other\nCrawl-delay: 9"
    assert read_rules(text.encode(), "tagreel").delay_s == delay_s


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"User-agent: a{n}\n" for n in range(16_000)) + "Disallow: /a\n" * 20_000,
        "".join(f"User-agent: a{n % 9000}\n" for n in range(30_000)),
        "User-agent: *\nDisallow: /" + "*a" * 240_000 + "b",
        "User-agent: *\n" + "".join(f"Disallow: /*a*{n}*\n" for n in range(25_000)),
        "\0" * 600_000,
    ],
)
def test_a_hostile_file_costs_seconds_at_most(text):
    started = time.monotonic()
    rules = read_rules(text.encode(), "tagreel")
    assert rules.allow("/" + "a" * 8000)
    assert time.monotonic() - started < 20
