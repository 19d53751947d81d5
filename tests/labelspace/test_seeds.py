from pathlib import Path

import pytest

from labelspace.seeds import Seed, SeedError, load_seeds, read_verbnet

SHARED_LISTS = Path(__file__).parents[3] / "shared" / "data" / "lists"
VERBNET_CLASS = """<!DOCTYPE VNCLASS SYSTEM "vn_class-3.dtd">
<VNCLASS ID="catch-1"><MEMBERS>
  <MEMBER fn_mapping="None" name="catch" wn="catch%2:35:01"/>
  <MEMBER name="pick_up"/>
</MEMBERS><SUBCLASSES><VNSUBCLASS ID="catch-1.1"><MEMBERS>
  <MEMBER fn_mapping="None" name="zip-line"/>
</MEMBERS></VNSUBCLASS></SUBCLASSES></VNCLASS>
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
    ],
)
def test_the_built_in_seed_sets_have_the_papers_sizes(name: str, size: int, first: Seed) -> None:
    seeds = load_seeds(name).seeds
    assert (len(seeds), len(set(seeds)), seeds[0]) == (size, size, first)


def test_only_verb_noun_joins_its_seeds() -> None:
    joined = {name for name in ("kinetics", "noun", "verb", "verb_noun") if load_seeds(name).joined}
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
        "the seed sets are kinetics, noun, verb, verb_noun"
    )


def test_verbnet_members_are_read_from_classes_and_subclasses(tmp_path: Path) -> None:
    write(tmp_path, VERBNET_CLASS, "catch-1.xml")
    write(tmp_path, VERBNET_CLASS.replace("zip-line", "abseil"), "other-2.xml")
    assert read_verbnet(tmp_path) == ("abseil", "catch", "zip-line")


def test_a_verbnet_folder_is_a_seed_set_of_its_verbs_and_the_built_in_ones(tmp_path: Path) -> None:
    write(tmp_path, VERBNET_CLASS, "catch-1.xml")
    seed_set = load_seeds(str(tmp_path))
    built_in = {seed.label for seed in load_seeds("verb").seeds}
    assert [seed.label for seed in seed_set.seeds] == sorted(built_in | {"zip-line"})
    assert {seed.kind for seed in seed_set.seeds} == {"verb"}


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
