import pytest

from trainer.config import OptimiserConfig
from trainer.training.schedule import learning_rate


@pytest.mark.parametrize(("schedule", "half"), [("cosine", 0.55), ("linear", 0.55), ("constant", 1.0)])
def test_the_rate_rises_and_falls(schedule, half):
    config = OptimiserConfig(learning_rate=1.0, schedule=schedule, warmup_samples=100, final_fraction=0.1)
    rates = [learning_rate(seen, total=1100, config=config) for seen in range(10, 1101, 10)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == 1.0
    assert rates[59] == pytest.approx(half)
    assert rates[-1] == pytest.approx(1.0 if schedule == "constant" else 0.1)
    assert rates[9:] == sorted(rates[9:], reverse=True)


def test_the_rate_follows_from_windows_not_from_steps():
    config = OptimiserConfig(warmup_samples=0)
    rates = [learning_rate(seen, total=960, config=config) for seen in (480, 960)]
    assert rates == [learning_rate(8 * step, total=8 * 120, config=config) for step in (60, 120)]
