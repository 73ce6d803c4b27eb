import pytest

from behavior_lm.common.stages import parse_stages


def test_shares_become_the_steps_that_stages_end_with():
  stages = parse_stages("128:0.6,512:0.3,2048:0.1", 7)
  assert stages == ((128, 4), (512, 6), (2048, 7))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("128", "'128' in '128': write VALUE:SHARE"),
        ("128:0.6,512:x", "'512:x' in"),
        ("128:0.6,512:0.3", "add up to 0.9, not to 1"),
        ("128:0.8,512:0.3", "add up to 1.1, not to 1"),
        ("128:0.99,512:0.01", "'512:0.01' in .* none of the 10 steps"),
        ("128:1,512:0", "'512:0' in .* none of the 10 steps"),
    ],
)
def test_what_makes_no_stages_is_named(text, message):
  with pytest.raises(ValueError, match=message):
    parse_stages(text, 10)
