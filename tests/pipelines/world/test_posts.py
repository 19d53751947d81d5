from collections import Counter

from pipelines.world.motions import MOTIONS
from pipelines.world.posts import SAMPLE_HOST, Kind, plan_posts, plan_targets
from pipelines.world.reuploads import EDITS

POSTS, TARGETS = plan_posts(0), plan_targets(0)
FINE = [p for p in POSTS if p.kind in (Kind.CLEAN, Kind.WRONG_TAG, Kind.FLAKY, Kind.CUT)]


def seconds(post):
    return post.film.frames / post.film.fps


def test_the_plan_depends_on_the_seed_alone():
    assert (plan_posts(0), plan_targets(0)) == (POSTS, TARGETS)
    assert not {p.video_id for p in POSTS} & {p.video_id for p in plan_posts(1)}


def test_every_kind_of_post_occurs():
    assert {post.kind for post in POSTS} == set(Kind) and len(POSTS) == 248


def test_ids_are_unique_and_one_uri_is_posted_twice():
    uris = Counter(post.uri for post in POSTS)
    assert len({post.video_id for post in POSTS}) == len(POSTS)
    assert sorted(uris.values())[-2:] == [1, 2]
    assert all(uri.startswith(f"http://{SAMPLE_HOST}/videos/") for uri in uris)


def test_the_labels_have_a_head_and_a_tail_and_one_too_small():
    videos = Counter(post.tagged[0] for post in FINE)
    assert videos.most_common(1)[0][1] >= 30
    assert [label for label in MOTIONS if videos[label] < 6] == ["tobogganing"]


def test_wrong_and_missing_hashtags_are_20_to_30_percent_of_the_posts_with_an_action():
    kinds = Counter(post.kind for post in POSTS if post.film.actions)
    share = (kinds[Kind.WRONG_TAG] + kinds[Kind.NO_TAG]) / kinds.total()
    assert 0.2 <= share <= 0.3
    assert all(p.tagged[0] not in p.film.actions for p in POSTS if p.kind is Kind.WRONG_TAG)


def test_three_labels_have_three_short_and_three_long_videos():
    clean = [post for post in POSTS if post.kind is Kind.CLEAN]
    long = Counter(post.tagged[0] for post in clean if 55 <= seconds(post) <= 60)
    short = Counter(post.tagged[0] for post in clean if 1 <= seconds(post) <= 5)
    assert sum(1 for label in MOTIONS if long[label] >= 3 and short[label] >= 3) == 3
    assert all(1 <= seconds(post) <= 60 for post in clean)


def test_reuploads_show_targets_under_every_edit():
    targets = {target.video_id: target for target in TARGETS}
    reuploads = [post for post in POSTS if post.kind is Kind.REUPLOAD]
    assert {post.edit for post in reuploads} == set(EDITS)
    for post in reuploads:
        target = targets[post.target_video_id]
        assert (post.film, post.tagged) == (target.film, (target.label,))


def test_the_target_set_is_balanced_and_shares_no_film_with_other_posts():
    counts = Counter((target.label, target.subset) for target in TARGETS)
    assert counts == {(la, s): n for la in MOTIONS for s, n in (("train", 10), ("val", 8))}
    own = {post.film.film_id for post in POSTS if post.kind is not Kind.REUPLOAD}
    assert not own & {target.film.film_id for target in TARGETS}
    assert all(2 <= target.film.frames / target.film.fps <= 4.1 for target in TARGETS)


def test_actions_lie_inside_their_films():
    for post in (*POSTS, *TARGETS):
        film = post.film
        assert 0 <= film.action_start < film.action_end <= film.frames
        assert film.width % 2 == film.height % 2 == 0
