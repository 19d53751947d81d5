import json
import pickle
from pathlib import Path

import pytest

from labelspace import seeds
from labelspace.seeds import SeedError, load_seeds
from labelspace.target_labels import TARGET_LISTS, read_target_labels

# Columns as EPIC-Kitchens publishes them; the rows are made up, for the real ones are CC BY-NC.
EPIC_55_VERBS = """verb_id,class_key,verbs
0,juggle,"['juggle', 'toss-up', 'keep-aloft']"
1,turn-around,['turn-around']
"""
EPIC_55_NOUNS = """noun_id,class_key,nouns
0,Nothing,['Nothing']
1,kite:red,"['kite:red', 'kite', ""child's kite""]"
"""
EPIC_100_NOUNS = """id,key,instances,category
0,kite,"['kite', 'kite:red']",toys
1,drum,[],toys
"""
KINETICS = """label,youtube_id,time_start,time_end,split
flying kite,aaaaaaaaaaa,0,10,train
"playing drums, loudly",bbbbbbbbbbb,5,15,train
Flying  kite,ccccccccccc,2,12,train
,ddddddddddd,2,12,train
"""
SOMETHING_V1 = """Putting something, something and something there
Holding something

Showing something, then hiding it
Holding something
"""


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_bytes(text.encode())
    return str(folder / name)


def read(folder: Path, name: str, text: str) -> dict[str, tuple[str, ...]]:
    return dict(read_target_labels(write(folder, name, text)))


@pytest.mark.parametrize("name", TARGET_LISTS)
def test_a_seed_set_is_a_target_list_too(name: str) -> None:
    labels = [seed.label for seed in load_seeds(name).seeds]
    assert read_target_labels(name) == dict.fromkeys(labels, ())


def test_the_joined_seed_set_is_no_list_of_labels() -> None:
    with pytest.raises(SeedError, match="verb_noun is no list of labels: name the lists that it"):
        read_target_labels("verb_noun")


def test_the_classes_of_epic_kitchens_55_come_with_their_members(tmp_path: Path) -> None:
    assert read(tmp_path, "EPIC_verb_classes.csv", EPIC_55_VERBS) == {
        "juggle": ("toss-up", "keep-aloft"),
        "turn-around": (),
    }
    assert read(tmp_path, "EPIC_noun_classes.csv", EPIC_55_NOUNS) == {
        "Nothing": (),
        "kite:red": ("kite", "child's kite"),
    }


def test_the_classes_of_epic_kitchens_100_have_other_columns(tmp_path: Path) -> None:
    found = read(tmp_path, "EPIC_100_noun_classes.csv", EPIC_100_NOUNS)
    assert found == {"kite": ("kite:red",), "drum": ()}


def test_a_class_that_stands_there_twice_has_the_members_of_both(tmp_path: Path) -> None:
    text = EPIC_55_VERBS + "2,Juggle,\"['toss-up', 'spin']\"\n"
    assert read(tmp_path, "verbs.csv", text)["juggle"] == ("toss-up", "keep-aloft", "spin")


def test_the_annotations_of_kinetics_name_each_label_once(tmp_path: Path) -> None:
    expected = {"flying kite": (), "playing drums, loudly": ()}
    assert read(tmp_path, "train.csv", "\ufeff" + KINETICS.replace("\n", "\r\n")) == expected
    tabs = 'Label\tid\nflying kite\t1\n"playing drums, loudly"\t2\n'
    assert read(tmp_path, "train.tsv", tabs) == expected
    videos = {
        "a": {"annotations": {"label": "flying kite", "segment": [0, 1]}, "subset": "train"},
        "b": {"annotations": {"label": "playing drums, loudly"}},
    }
    assert read(tmp_path, "train.json", json.dumps(videos)) == expected


def test_the_labels_of_something_something_v1_hold_commas(tmp_path: Path) -> None:
    expected = {
        "Putting something, something and something there": (),
        "Holding something": (),
        "Showing something, then hiding it": (),
    }
    assert read(tmp_path, "something-something-v1-labels.csv", SOMETHING_V1) == expected
    assert read(tmp_path, "labels.csv", "label\n" + SOMETHING_V1) == expected
    assert read(tmp_path, "labels.tsv", SOMETHING_V1) == expected
    annotated = "".join(f"{number};{label}\n" for number, label in enumerate(expected))
    assert read(tmp_path, "something-something-v1-train.csv", annotated) == expected


def test_the_labels_of_something_something_v2_lose_their_brackets(tmp_path: Path) -> None:
    expected = {"Holding something next to something": (), "Closing something": ()}
    label, other = "Holding [something] next to [something]", "Closing [something]"
    annotations = [
        {"id": "1", "label": "holding a cup next to a plate", "template": label},
        {"id": "2", "label": "closing a lid", "template": other},
        {"id": "3", "label": "closing a door", "template": other},
    ]
    for content in (
        {"Holding something next to something": "0", "Closing something": "1"},
        {"Holding something next to something": 0, "Closing something": 1},
        {"0": label, "1": other},
        [label, other, "closing Something"],
        annotations,
    ):
        assert read(tmp_path, "labels.json", json.dumps(content)) == expected
    assert read(tmp_path, "labels.txt", f"{label}\n{other}\n") == expected


def test_a_json_object_may_list_synonyms(tmp_path: Path) -> None:
    text = json.dumps({"juggle": ["toss up", "Juggle"], "drum": []})
    assert read(tmp_path, "mine.json", text) == {"juggle": ("toss up",), "drum": ()}


def test_a_text_file_has_comments_as_seeds_have(tmp_path: Path) -> None:
    text = "\ufeff# mine\n\nflying kite\nFlying Kite\njuggling\n"
    assert read(tmp_path, "mine.txt", text) == {"flying kite": (), "juggling": ()}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "# nothing\n", "a.txt: holds no label"),
        ("a.csv", "", "a.csv: holds no label"),
        ("a.csv", "label,id\n,1\n", "a.csv: holds no label"),
        ("a.json", "[]", "a.json: holds no label"),
        ("a.json", "[", "a.json: not JSON: Expecting value: line 1 column 2 (char 1)"),
        ("a.txt", "juggling\n--\n", "a.txt, line 2: a label needs a letter or digit, got '--'"),
        ("a.json", '["[]"]', "a.json: a label needs a letter or digit, got ''"),
        ("a.csv", "label,id\nx\n\ny,1,2\n", "a.csv, row 4: has 3 cells under 2 columns"),
        ("a.csv", "id,label\n1\n", "a.csv, row 2: has 1 cells under 2 columns"),
        (
            "a.csv",
            "key,instances\nx,\"__import__('os').getcwd()\"\n",
            "a.csv, row 2: no list such as ['take', 'grab']: \"__import__('os').getcwd()\"",
        ),
        (
            "a.csv",
            'key,instances\nx,"[1, 2]"\n',
            "a.csv, row 2: no list such as ['take', 'grab']: '[1, 2]'",
        ),
        (
            "a.csv",
            "key,instances\nx," + "[" * 70_000,
            "a.csv, row 2: a list of over 65536 characters",
        ),
        (
            "a.csv",
            "key,instances\nx," + "[" * 5_000,
            f"a.csv, row 2: no list such as ['take', 'grab']: {'[' * 60!r}",
        ),
        ("a.csv", "path,label\nv.mp4,0\nw.mp4,17\n", "a.csv: its labels are numbers; the list of"),
        ("a.csv", f"id,label\n1,{'x' * 200_000}\n", "a.csv: not a table: field larger than field"),
    ],
)
def test_a_file_without_usable_labels_is_refused_in_one_sentence(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(SeedError) as error:
        read(tmp_path, name, text)
    assert str(error.value).removeprefix(f"{tmp_path}/").startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "video_id,start\nx,0\n",
        "video_id,start,note\nx,0\n",
        "video id,start second\nx y,0 s\n",
    ],
)
def test_a_table_of_other_columns_is_refused_with_those_that_are_known(
    tmp_path: Path, text: str
) -> None:
    path = write(tmp_path, "a.csv", text)
    with pytest.raises(SeedError) as error:
        read_target_labels(path)
    assert str(error.value) == (
        f"{path}: has the columns {text.splitlines()[0].replace(',', ', ')}; known are class_key "
        "and verbs or nouns (EPIC-Kitchens-55), key and instances (EPIC-Kitchens-100), label; a "
        "plain list of labels goes into a .txt file"
    )


@pytest.mark.parametrize(
    "content",
    ["kite", 7, [1], [{"name": "kite"}], {"kite": {"id": 1}}, {"kite": [1]}, {"kite": None}],
)
def test_json_of_another_form_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(SeedError, match=r"a\.json: this JSON is of no known form; known are"):
        read(tmp_path, "a.json", json.dumps(content))


def test_json_nested_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="not JSON"):
        read(tmp_path, "a.json", "[" * 200_000)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeedError) as error:
        read_target_labels("kinetcs")
    assert str(error.value) == (
        "no target list or file 'kinetcs' (did you mean kinetics?): "
        "the target lists are kinetics, noun, verb, something_something"
    )
    path = tmp_path / "labels.csv"
    path.write_bytes(pickle.dumps({"kite": "\xe9"}))
    with pytest.raises(SeedError, match=r"labels\.csv: not UTF-8 text"):
        read_target_labels(str(path))


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "MAX_LIST_BYTES", 20)
    assert read(tmp_path, "a.txt", "kite\n" * 4) == {"kite": ()}
    with pytest.raises(SeedError, match=r"a\.txt: over 20 bytes"):
        read(tmp_path, "a.txt", "kite\n" * 4 + "x")
