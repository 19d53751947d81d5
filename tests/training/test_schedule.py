from collections import Counter
from dataclasses import replace

import pytest

from training.options import TrainOptions, load_options
from training.schedule import learning_rate, total_steps

PAPER_32F = TrainOptions(batch_size=768, lr_batch_size=768, warmup_clips=0)


def test_the_papers_run_has_its_number_of_steps() -> None:
    assert total_steps(PAPER_32F) == 638_021
    assert total_steps(replace(PAPER_32F, batch_size=2048)) == 239_258


def test_the_papers_rate_is_halved_thirteen_times_at_equal_steps() -> None:
    rates = [learning_rate(step, PAPER_32F) for step in range(0, 638_021, 7)]
    assert sorted(set(rates), reverse=True) == pytest.approx([0.192 / 2**k for k in range(14)])
    assert rates == sorted(rates, reverse=True)
    assert learning_rate(638_020, PAPER_32F) == pytest.approx(2.34375e-5)
    phases = Counter(learning_rate(step, PAPER_32F) for step in range(638_021))
    assert set(phases.values()) == {45_572, 45_573}


def test_the_rate_is_in_proportion_to_the_batch() -> None:
    one_gpu = replace(PAPER_32F, batch_size=6)
    assert learning_rate(0, one_gpu) == pytest.approx(0.0015)


@pytest.mark.parametrize(
    ("config", "batch", "steps"),
    [("ig-kinetics-34-32f", 768, 638_021), ("ig-kinetics-34-8f", 2048, 239_258)],
)
def test_the_papers_configs_on_its_128_gpus_are_its_run(
    config: str, batch: int, steps: int
) -> None:
    options = load_options(config, [])
    assert options.train.batch_size * 128 == batch
    assert options.train.clips == 490_000_000
    assert total_steps(options.train, 128) == steps
    warm = 1_000_000 // batch
    for step in (0, 1, warm - 2, warm - 1, warm, steps // 14 + 1, steps // 2 + 1, steps - 1):
        wanted = 0.192 * 0.5 ** (step * 14 // steps) * min(1, (step + 1) / warm)
        assert learning_rate(step, options.train, 128) == pytest.approx(wanted, rel=1e-12)
    assert learning_rate(steps - 1, options.train, 128) == pytest.approx(2.34375e-5)


def test_two_ranks_learn_as_one_with_the_double_batch() -> None:
    one = TrainOptions(clips=1000, batch_size=8, lr_batch_size=768, warmup_clips=100)
    half = replace(one, batch_size=4)
    assert total_steps(half, 2) == total_steps(one)
    assert [learning_rate(step, half, 2) for step in range(125)] == [
        learning_rate(step, one) for step in range(125)
    ]


@pytest.mark.parametrize("config", ["ig-kinetics-34-8f", "ig-kinetics-34-32f"])
def test_one_gpu_of_the_papers_configs_learns_at_its_share_of_the_rate(config: str) -> None:
    options = replace(load_options(config, []).train, warmup_clips=0)
    assert learning_rate(0, options) == pytest.approx(0.192 / 128)


def test_the_warm_up_rises_in_a_straight_line() -> None:
    options = TrainOptions(
        clips=100, batch_size=1, lr=1.0, lr_batch_size=1, warmup_clips=4, reductions=1
    )
    rates = [learning_rate(step, options) for step in (0, 1, 2, 3, 4, 49, 50, 99)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 0.5, 0.5]


def test_a_schedule_without_reductions_is_constant() -> None:
    options = replace(PAPER_32F, clips=7_680, reductions=0)
    assert [learning_rate(step, options) for step in range(10)] == pytest.approx([0.192] * 10)
