from formats.tables import Reason
from pipelines.reporting.reasons import ADVICE, Advice, advice_on


def test_every_reason_has_its_own_advice():
    assert set(ADVICE) == set(Reason)
    assert len({advice.meaning for advice in ADVICE.values()}) == len(Reason)
    assert all(advice.meaning and advice.remedy for advice in ADVICE.values())


def test_what_no_run_tries_again_by_itself_is_said_to_need_retry():
    for reason in (Reason.UNREACHABLE, Reason.TIMEOUT, Reason.BROKEN_SERVER, Reason.TRUNCATED):
        assert f"RETRY={reason}." in ADVICE[reason].remedy


def test_advice_is_found_by_the_word_in_the_table():
    assert advice_on("gone") == ADVICE[Reason.GONE]


def test_a_reason_of_another_version_is_said_to_be_unknown():
    assert advice_on("eaten_by_dog") == Advice(
        "A reason that this version does not know.", "Look into the videos table."
    )
