import numpy as np
import pytest

from labelspace.extract import extract_hashtags, fold_hashtag
from labelspace.hashtags import relevant_hashtags
from labelspace.seeds import load_seeds
from pipelines.world.captions import CHATTER_TAGS, caption, licence, relevant_tag, uploader
from pipelines.world.motions import MOTIONS


def hashtags(text):
    return {fold_hashtag(tag) for tag in extract_hashtags(text)}


@pytest.mark.parametrize("label", MOTIONS)
def test_every_spelling_is_a_relevant_hashtag(label):
    typed = {relevant_tag(label, np.random.default_rng(seed)) for seed in range(60)}
    found = {tag for text in typed for tag in hashtags(text)}
    assert found <= set(relevant_hashtags(label)) and len(typed) >= 4


def test_chatter_stands_for_no_kinetics_label():
    relevant = {
        tag for seed in load_seeds("kinetics").seeds for tag in relevant_hashtags(seed.label)
    }
    chatter = {tag for text in CHATTER_TAGS for tag in hashtags("#" + text)}
    assert chatter and not chatter & relevant


def test_a_caption_carries_a_hashtag_of_every_label_and_no_other():
    labels = ("bowling", "spinning poi")
    for seed in range(40):
        found = hashtags(caption(labels, np.random.default_rng(seed)))
        matched = {label for label in MOTIONS if found & set(relevant_hashtags(label))}
        assert matched == set(labels)


def test_some_captions_break_lines_quote_and_run_right_to_left():
    texts = "".join(caption((), np.random.default_rng(seed)) for seed in range(100))
    assert all(part in texts for part in ("\n", '"', "كل يوم", "#"))


def test_few_people_post_much():
    people = [uploader(np.random.default_rng(seed)) for seed in range(300)]
    assert 10 < len(set(people)) < 91
    assert {licence(np.random.default_rng(s)) for s in range(50)} >= {"", "CC BY 4.0"}
