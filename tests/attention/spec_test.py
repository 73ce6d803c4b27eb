import pytest

from behavior_lm.attention.spec import AttentionSpec


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(kind="magic"), r"known are \['chunked', 'dense', 'lsh', "),
        (dict(kind="sliding_window"), "set window_size"),
        (dict(kind="sliding_window", window_size=2, dilation=0), "dilation 0"),
        (dict(kind="sliding_window", window_size=2, max_globals=-1), "globals"),
        (dict(window_size=5), "set kind='sliding_window'"),
        (dict(kind="lsh", window_size=5), "set kind='sliding_window'"),
        (dict(num_hashes=5), "set kind='lsh'"),
        (dict(kind="lsh", num_hashes=0), "num_hashes 0"),
        (dict(kind="lsh", chunk_size=0), "chunk_size 0"),
        (dict(kind="lsh", num_buckets=3), "must be even"),
    ],
)
def test_an_impossible_spec_says_what_to_do(settings, message):
  with pytest.raises(ValueError, match=message):
    AttentionSpec(**settings)


def test_settings_of_its_own_kind_pass():
  spec = AttentionSpec("sliding_window", window_size=2, dilation=3)
  assert (spec.kind, spec.backend, spec.max_globals) == (
      "sliding_window", "auto", 0
  )  # fmt: skip
  assert AttentionSpec("lsh", num_buckets=(2, 4)).chunk_size == 64
