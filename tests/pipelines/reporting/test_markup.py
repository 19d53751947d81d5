import pytest

from pipelines.reporting.markup import byte_size, duration, foreign, meter, percent, table, text


def test_markup_and_quotes_become_text():
    assert text("""<img src=x onerror="alert('1')"> & co""") == (
        "&lt;img src=x onerror=&quot;alert(&#x27;1&#x27;)&quot;&gt; &amp; co"
    )


def test_control_characters_are_shown_as_such():
    assert text("a\x00b\x1b[31m\nc") == "a�b�[31m\nc"


def test_long_text_is_cut_before_it_is_escaped():
    assert text("<" * 200, limit=3) == "&lt;&lt;…"


def test_foreign_text_cannot_turn_its_surroundings_round():
    assert foreign("\u202eabc") == "<bdi>\u202eabc</bdi>"


def test_a_table_marks_its_columns():
    assert table(("Split", "Clips:n"), [("all", "3")]) == (
        '<div class="scroll"><table><thead><tr><th>Split</th><th class="n">Clips</th></tr></thead>'
        '<tbody><tr><td>all</td><td class="n">3</td></tr></tbody></table></div>'
    )


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (percent(1, 3), "33%"),
        (percent(1, 30), "3.3%"),
        (percent(0, 0), "0%"),
        (percent(999, 10_000), "10%"),
        (duration(8.24), "8.2 s"),
        (duration(200), "3.3 min"),
        (duration(9000), "2.5 h"),
        (byte_size(999), "999 bytes"),
        (byte_size(1_250_000), "1.2 MB"),
        (byte_size(3e15), "3000.0 TB"),
        (meter(1, 4), '<span class="meter" style="width:25.00%"></span>'),
        (meter(0, 0), '<span class="meter" style="width:0.00%"></span>'),
    ],
)
def test_numbers_are_said_as_people_say_them(shown, wanted):
    assert shown == wanted
