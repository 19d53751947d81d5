from pathlib import Path

import pytest

from labelspace import seeds
from labelspace.hashtags import expand_label
from labelspace.seeds import SEED_SETS, Seed, SeedError, load_seeds, read_verbnet

SHARED_LISTS = Path(__file__).parents[3] / "shared" / "data" / "lists"
# As VerbNet 3.4 writes it: `name` is neither first nor last.
VERBNET_CLASS = """<!DOCTYPE VNCLASS SYSTEM "vn_class-3.dtd">
<VNCLASS ID="catch-1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation="vn_schema-3.xsd"><MEMBERS>
  <MEMBER fn_mapping="None" grouping="" name="catch" verbnet_key="catch#1" wn="" features=""/>
  <MEMBER name="pick_up"/>
</MEMBERS><THEMROLES/><FRAMES/><SUBCLASSES><VNSUBCLASS ID="catch-1.1"><MEMBERS>
  <MEMBER fn_mapping="None" name="zip-line"/>
</MEMBERS><SUBCLASSES><VNSUBCLASS ID="catch-1.1.1"><MEMBERS>
  <MEMBER wn="snatch%2:35:00" name="snatch"/>
</MEMBERS><SUBCLASSES/></VNSUBCLASS></SUBCLASSES></VNSUBCLASS></SUBCLASSES></VNCLASS>
"""
# As VerbNet 3.3 is spread by NLTK: a declaration, and `name` first.
VERBNET_3_3_CLASS = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE VNCLASS SYSTEM "vn_class-3.dtd">
<VNCLASS ID="fly-2">
  <MEMBERS>
    <MEMBER name="fly" wn="fly%2:38:00" grouping="fly.01"/>
    <MEMBER name="take off" wn="" grouping=""/>
    <MEMBER name=" soar " wn="" grouping=""/>
    <MEMBER name="" wn="" grouping=""/>
    <MEMBER name="-" wn="" grouping=""/>
  </MEMBERS>
  <SUBCLASSES/>
</VNCLASS>
"""


def write(folder: Path, text: str, name: str = "mine.txt") -> str:
    path = folder / name
    path.write_bytes(text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("name", "size", "first"),
    [
        ("kinetics", 400, Seed("abseiling", "phrase")),
        ("noun", 1804, Seed("abacus", "noun", "n02666196")),
        ("verb", 438, Seed("abseil", "verb")),
        ("verb_noun", 438 + 1804, Seed("abseil", "verb")),
        ("something_something", 174, Seed("Holding something", "phrase")),
    ],
)
def test_the_built_in_seed_sets_have_the_papers_sizes(name: str, size: int, first: Seed) -> None:
    seeds = load_seeds(name).seeds
    assert (len(seeds), len(set(seeds)), seeds[0]) == (size, size, first)


def test_only_verb_noun_joins_its_seeds() -> None:
    joined = {name for name in SEED_SETS if load_seeds(name).joined}
    assert joined == {"verb_noun"}


def test_nineteen_nouns_name_two_synsets_and_all_name_1000() -> None:
    synsets = [(seed.synset or "").split(",") for seed in load_seeds("noun").seeds]
    assert sum(len(ids) == 2 for ids in synsets) == 19
    assert len({one for ids in synsets for one in ids}) == 1000


@pytest.mark.skipif(not SHARED_LISTS.is_dir(), reason="the shared word lists are not here")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("kinetics", "kinetics400.txt"),
        ("verb", "verbs_kinetics_or_verbnet_class_heads_438.txt"),
        ("noun", "noun_hashtag_candidates.tsv"),
        ("something_something", "something_something_v1.txt"),
    ],
)
def test_a_built_in_seed_set_equals_the_list_it_was_taken_from(name: str, file: str) -> None:
    lines = (SHARED_LISTS / file).read_text(encoding="utf-8").splitlines()
    assert [seed.label for seed in load_seeds(name).seeds] == [li.split("\t")[0] for li in lines]


def test_a_file_of_labels_skips_comments_blank_lines_and_repeats(tmp_path: Path) -> None:
    text = "\ufeff# my labels\r\n\r\nPlaying  guitar\r\n#\nüben\nplaying Guitar\n## more\nsurfing\n"
    seed_set = load_seeds(write(tmp_path, text))
    assert seed_set.name == "mine"
    assert seed_set.seeds == tuple(
        Seed(label, "phrase") for label in ("Playing guitar", "üben", "surfing")
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n\n", "holds no label"),
        ("surfing\n#yoga\n", "line 2: '#yoga' starts with '#': write 'yoga' for a label"),
        ("surfing\n***\n", "line 2: a label needs a letter or digit"),
        ("x" * 501, "line 1: a label has over 500 characters"),
    ],
)
def test_a_file_that_holds_no_usable_labels_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SeedError, match=message.replace("*", r"\*")):
        load_seeds(write(tmp_path, text))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin1.txt"
    path.write_bytes("surfing\nüben\n".encode("latin-1"))
    with pytest.raises(SeedError, match="not UTF-8 text \\(byte 8\\)"):
        load_seeds(str(path))


def test_an_unknown_name_is_refused_in_one_sentence_that_names_the_known_ones() -> None:
    with pytest.raises(SeedError) as error:
        load_seeds("kinetcs")
    assert str(error.value) == (
        "no seed set or file 'kinetcs' (did you mean kinetics?): "
        "the seed sets are kinetics, noun, verb, verb_noun, something_something"
    )


def test_verbnet_members_are_read_from_classes_and_subclasses(tmp_path: Path) -> None:
    write(tmp_path, VERBNET_CLASS, "catch-1.xml")
    write(tmp_path, VERBNET_CLASS.replace("zip-line", "abseil"), "other-2.xml")
    assert read_verbnet(tmp_path) == ("abseil", "catch", "snatch", "zip-line")


def test_only_one_word_members_of_verbnet_are_verbs(tmp_path: Path) -> None:
    write(tmp_path, VERBNET_3_3_CLASS, "fly-2.xml")
    assert read_verbnet(tmp_path) == ("fly", "soar")


def test_members_that_are_tagged_alike_are_one_verb(tmp_path: Path) -> None:
    names = ("re-use", "reuse", "k.o.", "re-tie", "Re-Tie", "Ski")
    members = "".join(f'<MEMBER name="{name}"/>' for name in names)
    write(tmp_path, f"<VNCLASS>{members}</VNCLASS>", "a-1.xml")
    assert read_verbnet(tmp_path) == ("Re-Tie", "Ski", "k.o.", "reuse")
    verbs = {seed.label for seed in load_seeds("verb", tmp_path).seeds}
    assert verbs == kinetics_verbs() | {"Re-Tie", "k.o.", "reuse"}


def test_files_beside_the_classes_of_verbnet_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, VERBNET_3_3_CLASS, "fly-2.xml")
    write(tmp_path, "\0\5\26\7", "._fly-2.xml")
    write(tmp_path, '<frame><MEMBER name="frame"/></frame>', "frame.xml")
    write(tmp_path, "MEMBER", "README.md")
    (tmp_path / "older.xml").mkdir()
    with pytest.raises(SeedError, match=r"older\.xml: cannot be read: Is a directory"):
        read_verbnet(tmp_path)
    (tmp_path / "older.xml").rmdir()
    assert read_verbnet(tmp_path) == ("fly", "soar")


def test_a_long_member_takes_no_long_time(tmp_path: Path) -> None:
    names = ("a" * 4_000_000 + "_", "-" * 3_000_000)
    members = "".join(f'<MEMBER name="{name}"/>' for name in names)
    write(tmp_path, f"<VNCLASS>{members}</VNCLASS>", "a-1.xml")
    with pytest.raises(SeedError, match="its 1 XML files name no VerbNet member"):
        read_verbnet(tmp_path)
    write(tmp_path, f'<VNCLASS><MEMBER name="{"a" * 600}"/></VNCLASS>', "a-1.xml")
    with pytest.raises(SeedError, match=f"{tmp_path}: a label has over 500 characters"):
        read_verbnet(tmp_path)


def kinetics_verbs() -> set[str]:
    lines = (Path(seeds.__file__).parent / "seeds" / "verb.txt").read_text().splitlines()
    return {line.split("\t")[0] for line in lines if "\tkinetics" in line}


def test_191_of_the_built_in_verbs_are_of_kinetics() -> None:
    assert len(kinetics_verbs()) == 191
    assert {"abseil", "catch", "ski"} <= kinetics_verbs()
    assert "absorb" not in kinetics_verbs()


def test_a_verbnet_folder_is_a_seed_set_of_its_verbs_and_those_of_kinetics(tmp_path: Path) -> None:
    write(tmp_path, VERBNET_CLASS, "catch-1.xml")
    seed_set = load_seeds(str(tmp_path))
    verbs = sorted(kinetics_verbs() | {"snatch", "zip-line"})
    assert seed_set.seeds == tuple(Seed(verb, "verb") for verb in verbs)
    assert (seed_set.name, seed_set.joined) == (tmp_path.name, False)


def test_verb_and_verb_noun_can_take_their_verbs_from_verbnet(tmp_path: Path) -> None:
    write(tmp_path, VERBNET_CLASS, "catch-1.xml")
    verbs = load_seeds(str(tmp_path)).seeds
    alone, joined = (load_seeds(name, tmp_path) for name in ("verb", "verb_noun"))
    assert (alone.name, alone.seeds, alone.joined) == ("verb", verbs, False)
    nouns = load_seeds("noun").seeds
    assert (joined.name, joined.seeds, joined.joined) == ("verb_noun", (*verbs, *nouns), True)
    assert load_seeds("verb_noun", "") == load_seeds("verb_noun")


@pytest.mark.parametrize("name", ["kinetics", "noun", "something_something", "labels.txt"])
def test_a_verbnet_folder_for_seeds_without_verbs_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SeedError) as error:
        load_seeds(name, tmp_path)
    assert str(error.value) == (
        f"a VerbNet folder goes with the seed set verb or verb_noun, not with {name!r}: "
        "choose one of them, or leave verbnet empty"
    )


def test_a_verbnet_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="verbnet3.4: no such folder of VerbNet classes"):
        load_seeds("verb_noun", tmp_path / "verbnet3.4")


@pytest.mark.skipif(not SHARED_LISTS.is_dir(), reason="the shared word lists are not here")
def test_all_of_verbnet_and_kinetics_are_4338_verbs(tmp_path: Path) -> None:
    rows = (SHARED_LISTS / "verbnet34_members.tsv").read_text(encoding="utf-8").splitlines()
    members = "".join(f'<MEMBER name="{row.split(chr(9))[0]}"/>' for row in rows)
    write(tmp_path, f"<VNCLASS>{members}</VNCLASS>", "all.xml")
    assert len(read_verbnet(tmp_path)) == 4305
    assert len(load_seeds("verb", tmp_path).seeds) == 4338


def test_the_longest_label_of_something_something_is_cut_at_the_limit() -> None:
    labels = [seed.label for seed in load_seeds("something_something").seeds]
    longest = max(labels, key=lambda label: len(label.split()))
    expanded = expand_label(longest)
    assert (len(longest.split()), len(expanded.hashtags), expanded.truncated) == (17, 5000, True)
    assert "".join(longest.lower().replace(",", "").split()) in expanded.hashtags


def test_entities_cannot_be_declared_in_a_verbnet_file(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE VNCLASS [<!ENTITY a "aaaa">]><VNCLASS><MEMBER name="&a;"/></VNCLASS>'
    write(tmp_path, bomb, "bomb.xml")
    with pytest.raises(SeedError, match=r"bomb\.xml: declares a document type of its own"):
        read_verbnet(tmp_path)


def test_an_outside_document_type_is_not_opened(tmp_path: Path) -> None:
    write(tmp_path, '<!ENTITY name "leaked">', "vn_class-3.dtd")
    text = '<!DOCTYPE VNCLASS SYSTEM "vn_class-3.dtd"><VNCLASS><MEMBER name="&name;x"/></VNCLASS>'
    write(tmp_path, text, "c.xml")
    assert read_verbnet(tmp_path) == ("x",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<VNCLASS><MEMBER", "not XML"),
        ("<VNCLASS/>", "its 1 XML files name no VerbNet member"),
        ("<VNCLASS>" + " " * 9_000_000 + "</VNCLASS>", "over 8388608 bytes"),
    ],
)
def test_a_file_that_is_no_verbnet_class_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    write(tmp_path, text, "c.xml")
    with pytest.raises(SeedError, match=message):
        read_verbnet(tmp_path)


def test_a_folder_without_verbnet_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="no VerbNet class file"):
        load_seeds(str(tmp_path))
