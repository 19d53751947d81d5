from pathlib import Path

import pytest

from pipelines.benchmarks.target_tables import (
    TargetEntry,
    check_target_sets,
    read_targets,
    target_folder,
    target_name,
)
from pipelines.run import JobError


def test_a_target_table_needs_two_columns_and_may_have_four(tmp_path: Path) -> None:
    table = tmp_path / "bench.csv"
    table.write_text("video_id,uri,label,subset\na,a.mp4,yoga,val\nb,b.mp4,,\n")
    assert read_targets(str(table)) == [
        TargetEntry("a", "a.mp4", "yoga", "val"),
        TargetEntry("b", "b.mp4"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,uri\na,b\n", "needs the columns video_id and uri .*; found: id, uri"),
        ("", "found: none"),
        ("video_id,uri\na,b\na,c\n", r"1 video_id\(s\) stand there more than once"),
        (
            "video_id,uri,label_../../escape,subset\na,b,yoga,val\n",
            r"the task '\.\./\.\./escape' cannot be the name of a folder",
        ),
        (
            "video_id,uri,label,subset\na,a.mp4,yoga,val\nb,b.mp4,yoga,validation\n",
            r"bench\.csv, line 3: the subset 'validation' is neither train nor val, nor empty",
        ),
    ],
)
def test_a_wrong_target_table_is_refused_by_name(
    tmp_path: Path, content: str, message: str
) -> None:
    table = tmp_path / "bench.csv"
    table.write_text(content)
    with pytest.raises(JobError, match=message):
        read_targets(str(table))


def test_a_missing_target_table_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none\.csv: cannot be read as a target table"):
        read_targets(str(tmp_path / "none.csv"))


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (
            "my/nothere.csv",
            "my/nothere.csv: no such target table; TARGETS names CSV files, ",
        ),
        ("ufc101:/data/ucf", "unknown benchmark ufc101 (did you mean ucf101?)"),
        ("mine:/data", "unknown benchmark mine (known: kinetics, ucf101, "),
        (":/data", "unknown benchmark '' (known: kinetics, ucf101, "),
        ("ucf101:", "ucf101: in which folder? ROOT=FOLDER says it (or ucf101:FOLDER)"),
        ("ucf101:/nowhere", "/nowhere: no such folder; it should hold ucf101"),
    ],
)
def test_a_target_set_that_is_not_there_is_named_before_anything_is_done(
    named: str, said: str
) -> None:
    with pytest.raises(JobError) as caught:
        check_target_sets([named])
    assert str(caught.value).startswith(said)


def test_a_wrong_table_is_found_with_those_that_are_not_there(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("video_id,uri\na,a.mp4\n")
    bad.write_text("id,uri\na,a.mp4\n")
    with pytest.raises(JobError, match=r"bad\.csv: needs the columns video_id and uri"):
        check_target_sets([str(good), str(bad)])


def test_a_table_may_name_pieces_and_several_tasks(tmp_path: Path) -> None:
    table = tmp_path / "bench.csv"
    table.write_text(
        "video_id,uri,subset,start_s,end_s,label_verb,label_noun\n"
        "a,long.mp4,train,1.5,3,open,door\nb,b.mp4,val,,,,cup\n"
    )
    assert read_targets(str(table)) == [
        TargetEntry("a", "long.mp4", "", "train", 1.5, 3.0, (("noun", "door"), ("verb", "open"))),
        TargetEntry("b", "b.mp4", "", "val", tasks=(("noun", "cup"),)),
    ]


def test_a_video_may_carry_several_labels(tmp_path: Path) -> None:
    table = tmp_path / "bench.csv"
    table.write_text(
        "video_id,uri,subset,labels,labels_noun,label_verb\n"
        "a,a.mp4,train,running; laughing;;running,door;cup,open;shut\nb,b.mp4,val,,cup,\n"
    )
    both = (("", "running"), ("", "laughing"))
    nouns = (("noun", "door"), ("noun", "cup"))
    assert read_targets(str(table)) == [
        TargetEntry("a", "a.mp4", "running", "train", tasks=(*both, *nouns, ("verb", "open;shut"))),
        TargetEntry("b", "b.mp4", "", "val", tasks=(("noun", "cup"),)),
    ]


def test_a_row_with_both_kinds_of_labels_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "bench.csv"
    table.write_text("video_id,uri,label,labels\na,a.mp4,x,\nb,b.mp4,x,x;y\n")
    with pytest.raises(JobError, match="the columns label and labels say the same, drop one"):
        read_targets(str(table))


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        ("3,1", "the first before the second"),
        ("3,", "must both be given"),
        ("x,4", "start_s 'x' is no second"),
        ("nan,4", "start_s 'nan' is no second"),
        ("-1,4", "start_s '-1' is no second"),
    ],
)
def test_a_piece_that_cannot_be_is_refused(tmp_path: Path, piece: str, message: str) -> None:
    table = tmp_path / "bench.csv"
    table.write_text(f"video_id,uri,start_s,end_s\na,a.mp4,{piece}\n")
    with pytest.raises(JobError, match=message):
        read_targets(str(table))


def test_a_benchmark_stands_in_the_place_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "trainlist01.txt").write_text("Archery/v_Archery_g01_c01.avi 1\n")
    named = f"ucf101:{tmp_path}"
    assert (target_name(named), target_folder(named)) == ("ucf101", str(tmp_path))
    assert [entry.label for entry in read_targets(named)] == ["Archery"]
