from pathlib import Path

import pytest

from pipelines.__main__ import main


def test_a_catalog_with_too_few_matches_of_every_label_is_told_before_anything_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = tmp_path / "posts.csv"
    catalog.write_text(
        "video_id,uri,hashtags\na,a.mp4,yoga\nb,b.mp4,yoga\nc,c.mp4,zumba\nd,d.mp4,zumba yoga\n"
    )
    words = ["--catalog", str(catalog), "--out", str(tmp_path / "out")]
    said = (
        "no label can have label.min_videos = 50 videos: the largest, 'yoga', has 3 in the "
        'catalog; lower it (SET="label.min_videos=3") or bring a larger catalog\n'
    )
    assert main(["dataset", *words]) == 1
    assert capsys.readouterr().err.endswith(f"tagreel: {said}")
    assert not (tmp_path / "out" / "videos").exists()
    assert main(["match", *words]) == 0
    assert capsys.readouterr().err == said
    assert main(["match", *words, "--set", "label.min_videos=3"]) == 0
    assert capsys.readouterr().err == ""
