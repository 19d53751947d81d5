import pytest

from pipelines.options import MatchOptions
from pipelines.readers.columns import Found, find_columns
from pipelines.readers.fields import is_known, missing_column

NAMES = ("video_id", "uri", "caption", "owner")


def missing(*files: tuple[str, ...], seen: tuple[str, ...] = (), **options: object) -> str | None:
    asked = MatchOptions(**options)  # type: ignore[arg-type]
    return missing_column([find_columns(names, asked) for names in files], seen, asked)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"uploader": "uploadr", "exclude_uploaders": ("evil",)},
            "no file has the column 'uploadr' of match.uploader; found: video_id, uri, caption, "
            "owner. Correct it",
        ),
        ({"hashtags": "tagz"}, "no file has the column 'tagz' of match.hashtags;"),
        (
            {"max_duration_s": 60},
            "no file has the column 'duration_s', which match.max_duration_s needs; found: "
            'video_id, uri, caption, owner. Name yours with SET="match.duration_s=...", or leave '
            "the filter out",
        ),
        ({"min_duration_s": 1}, "no file has the column 'duration_s', which match.min_duration_s"),
        ({"licences": ("CC0",)}, "no file has the column 'licence', which match.licences needs;"),
        (
            {"exclude_uploaders": ("evil",)},
            "no file has the column 'uploader', which match.exclude_uploaders needs;",
        ),
    ],
)
def test_what_no_file_has_is_named_with_its_option(options: dict[str, object], said: str) -> None:
    told = missing(NAMES, NAMES, **options)
    assert told is not None and told.startswith(said)


def test_what_one_file_or_one_object_has_is_enough() -> None:
    asked: dict[str, object] = {"uploader": "owner", "exclude_uploaders": ("evil",)}
    assert missing(NAMES, NAMES[:3], **asked) is None
    assert missing(NAMES[:3], seen=("uploader",), **asked) is None
    assert missing(NAMES[:3]) is None


def test_objects_without_hashtags_and_captions_are_told_of_with_their_first_keys() -> None:
    found = [Found(("id", "text"), whole=False)]
    assert missing_column(found, ("video_id", "uri"), MatchOptions()) == (
        "no row has 'hashtags' or 'caption'; found in headers and first objects: id, text. "
        'Name yours with SET="match.hashtags=tags match.caption=text"'
    )


def test_columns_are_known_beforehand_unless_objects_may_have_more() -> None:
    table, objects, empty = Found(NAMES), Found(NAMES, whole=False), Found()
    assert is_known([table, empty])
    assert not is_known([table, objects]) and not is_known([empty])
