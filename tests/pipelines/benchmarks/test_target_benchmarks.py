from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.benchmarks.target_benchmarks import (
    BENCHMARKS,
    BenchmarkError,
    TargetEntry,
    read_benchmark,
)
from pipelines.benchmarks.target_specs import NAMES


def lay_out(root: Path, lists: Mapping[str, str], videos: tuple[str, ...] = ()) -> str:
    for name, content in lists.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    for name in videos:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return str(root)


def test_every_name_of_the_command_line_is_read() -> None:
    assert set(NAMES) == set(BENCHMARKS)


def test_kinetics_by_id_and_seconds_wherever_the_file_lies(tmp_path: Path) -> None:
    header = "label,youtube_id,time_start,time_end,split\n"
    root = lay_out(
        tmp_path,
        {
            "annotations/train.csv": header + '"dunking, fast",-abc_DEF012,4,14,train\n',
            "annotations/val.csv": header + "yoga,vvvvvvvvvvv,0.0,10.0,validate\n",
            "annotations/test.csv": "youtube_id,time_start,time_end,split\nttttttttttt,7,17,test\n",
            "annotations/all.csv": header + "yoga,vvvvvvvvvvv,0,10,val\n",
            "readme.csv": "name,words\na,b\n",
        },
        ("train/dunking/-abc_DEF012_000004_000014.mkv", "val/vvvvvvvvvvv_000000_000010.mp4"),
    )
    assert sorted(read_benchmark("kinetics", root), key=lambda e: e.subset) == [
        TargetEntry("ttttttttttt_000007_000017", "test/ttttttttttt_000007_000017.mp4", "", "test"),
        TargetEntry(
            "-abc_DEF012_000004_000014",
            "train/dunking/-abc_DEF012_000004_000014.mkv",
            "dunking, fast",
            "train",
        ),
        TargetEntry(
            "vvvvvvvvvvv_000000_000010", "val/vvvvvvvvvvv_000000_000010.mp4", "yoga", "val"
        ),
    ]


def test_ucf101_has_three_splits(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {
            "lists/trainlist01.txt": "Archery/v_Archery_g01_c01.avi 3\n\n",
            "lists/testlist01.txt": "Archery/v_Archery_g02_c01.avi\n",
            "lists/trainlist02.txt": "Archery/v_Archery_g02_c01.avi 3\n",
        },
        ("UCF-101/Archery/v_Archery_g01_c01.avi",),
    )
    assert read_benchmark("ucf101", root) == [
        TargetEntry(
            "v_Archery_g01_c01", "UCF-101/Archery/v_Archery_g01_c01.avi", "Archery", "train"
        ),
        # It is not there: it is named by where it would be looked for, and fails as such.
        TargetEntry("v_Archery_g02_c01", "Archery/v_Archery_g02_c01.avi", "Archery", "val"),
    ]
    assert [e.subset for e in read_benchmark("ucf101-2", root)] == ["train"]


def test_hmdb51_marks_what_a_split_leaves_out(tmp_path: Path) -> None:
    listed = "a b#1.avi 1 \nc.avi 2 \nd.avi 0 \n"
    root = lay_out(tmp_path, {"splits/brush_hair_test_split1.txt": listed}, ("brush_hair/c.avi",))
    assert [(e.video_id, e.label, e.subset, e.uri) for e in read_benchmark("hmdb51", root)] == [
        ("a b#1", "brush_hair", "train", "brush_hair/a b#1.avi"),
        ("c", "brush_hair", "val", "brush_hair/c.avi"),
        ("d", "", "", "brush_hair/d.avi"),
    ]


def test_something_something_is_folders_of_frames(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {
            "something-something-v1-train.csv": "100218;Something falling, like a feather\n",
            "something-something-v1-validation.csv": "7;Opening something\n",
            "something-something-v1-test.csv": "8\n",
        },
        ("20bn/100218/00001.jpg", "20bn/100218/00002.jpg", "20bn/7/00001.jpg"),
    )
    found = read_benchmark("something-something-v1", root)
    assert {(e.video_id, e.uri, e.label, e.subset) for e in found} == {
        ("100218", "20bn/100218", "Something falling, like a feather", "train"),
        ("7", "20bn/7", "Opening something", "val"),
        ("8", "8.mp4", "", "test"),
    }


EPIC = "participant_id,video_id,start_timestamp,stop_timestamp,verb,verb_class,noun,noun_class\n"


def test_epic_kitchens_100_is_segments_with_three_tasks(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {
            "EPIC_100_train.csv": "narration_id," + EPIC + "P01_01_0,P01,P01_01,00:00:01.14,"
            "00:01:03.5,open,3,door,2\n",
            "EPIC_100_validation.csv": "narration_id," + EPIC + "P02_03_9,P02,P02_03,00:00:00.0,"
            "00:00:02.0,take,0,pan:lid,99\n",
            "EPIC_100_test_timestamps.csv": "narration_id,participant_id,video_id,start_timestamp,"
            "stop_timestamp\nP01_11_0,P01,P01_11,01:00:00.00,01:00:01.00\n",
            "EPIC_100_verb_classes.csv": "id,key,instances\n0,take,x\n3,open,y\n",
            "EPIC_100_noun_classes.csv": "id,key,instances\n2,door,x\n",
        },
        ("P01/videos/P01_01.MP4", "other/P01_01.MP4"),
    )
    found = {entry.video_id: entry for entry in read_benchmark("epic-kitchens-100", root)}
    assert found["P01_01_0"] == TargetEntry(
        "P01_01_0",
        "P01/videos/P01_01.MP4",
        subset="train",
        start_s=1.14,
        end_s=63.5,
        tasks=(("action", "open door"), ("noun", "door"), ("verb", "open")),
    )
    # A class without a name keeps its number.
    assert found["P02_03_9"].tasks == (("action", "take 99"), ("noun", "99"), ("verb", "take"))
    assert (found["P01_11_0"].subset, found["P01_11_0"].tasks) == ("test", ())


def test_epic_kitchens_55_holds_out_unseen_kitchens_and_names_both_tests(tmp_path: Path) -> None:
    train = "uid," + EPIC + "0,P01,P01_01,00:00:01,00:00:02,a,1,b,2\n"
    train += "1,P26,P26_01,00:00:01,00:00:02,a,1,b,2\n"
    times = "uid,participant_id,video_id,start_timestamp,stop_timestamp\n"
    root = lay_out(
        tmp_path,
        {
            "EPIC_train_action_labels.csv": train,
            "EPIC_test_s1_timestamps.csv": times + "7,P01,P01_11,00:00:01,00:00:02\n",
            "EPIC_test_s2_timestamps.csv": times + "8,P09,P09_11,00:00:01,00:00:02\n",
        },
    )
    found = read_benchmark("epic-kitchens-55", root)
    assert {(e.video_id, e.subset) for e in found} == {
        ("0", "train"),
        ("1", "val"),
        ("7", "s1"),
        ("8", "s2"),
    }


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({}, "holds no annotation file of kinetics"),
        ({"train.csv": "youtube_id,time_start,time_end\nx,one,2\n"}, "cannot be read as kinetics"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    tmp_path: Path, lists: dict[str, str], message: str
) -> None:
    with pytest.raises(BenchmarkError, match=message):
        read_benchmark("kinetics", lay_out(tmp_path, lists))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"none: no such folder; TARGETS=ucf101:FOLDER"):
        read_benchmark("ucf101", str(tmp_path / "none"))
