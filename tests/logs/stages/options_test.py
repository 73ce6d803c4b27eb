import dataclasses

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import formats
from behavior_lm.logs.stages.options import Options

# Options that change nothing in the dataset, or nothing but where it is.
_NO_SETTINGS = {
    "logs", "out", "max_bad_fraction", "overwrite", "restart", "workers",
}  # fmt: skip


def test_every_option_that_decides_the_content_is_a_setting():
  """A run must not be continued with another value of one of them."""
  plain = Options(logs="log", out="out")
  others = {
      "unit": "user", "split_time": "2024-03-04", "user_fraction": 0.5,
      "columns": {"event_id": "x"}, "extras": ("level",), "timezone": "UTC",
      "time_unit": "ms", "log_format": "csv", "encoding": "gbk", "seed": 1,
      "drop_duplicates": True,
  }  # fmt: skip
  names = {field.name for field in dataclasses.fields(Options)}
  assert names == set(others) | _NO_SETTINGS
  for name, value in others.items():
    changed = dataclasses.replace(plain, **{name: value})
    different = {
        flag
        for flag, text in changed.settings().items()
        if text != plain.settings()[flag]
    }
    assert different == {"format" if name == "log_format" else name}


def test_a_format_says_what_was_not_said():
  options = Options(logs="x", out="y", log_format="taobao").complete()
  assert options.timezone == "Asia/Shanghai"
  assert options.extras == formats.default_extras("taobao")
  said = Options(logs="x", out="y", log_format="taobao", timezone="UTC")
  assert said.complete().timezone == "UTC"


def test_no_workers_are_too_few():
  with pytest.raises(UserError, match="--workers 0 must be at least 1."):
    Options(logs="x", out="y", workers=0).complete()
