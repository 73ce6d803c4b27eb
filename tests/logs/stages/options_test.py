import dataclasses

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.logs.stages.options import Options

# Options that change nothing in the dataset, or nothing but where it is.
_NO_SETTINGS = {
    "logs", "out", "max_bad_fraction", "overwrite", "restart", "workers",
    "command",
}  # fmt: skip


def test_every_option_that_decides_the_content_is_a_setting():
  """A run must not be continued with another value of one of them."""
  plain = Options(logs="log", out="out")
  others = {
      "unit": "user", "split_time": "2024-03-04", "user_fraction": 0.5,
      "columns": {"event_id": "x"}, "extras": ("level",), "timezone": "UTC",
      "time_unit": "ms", "log_format": "csv", "encoding": "gbk", "seed": 1,
      "drop_duplicates": True, "valid_time": "2019-01-01",
      "valid_fraction": 0.2, "leave_one_out": True, "category_cap": 7,
          "header": ("a",), "null_values": ("NULL",), "decimal_comma": True,
          "day_timezone": "Asia/Tokyo",
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
  assert options.extras == ("category:cat",)
  assert options.kinds == {"category": schema.CATEGORICAL}
  named = dataclasses.replace(options, extras=("price", "category")).complete()
  assert named.extras == ("price", "category:cat")
  forced = dataclasses.replace(options, extras=("category:num",)).complete()
  assert forced.kinds == {"category": schema.NUMERIC}
  said = Options(logs="x", out="y", log_format="taobao", timezone="UTC")
  assert said.complete().timezone == "UTC"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"valid_fraction": 1.0}, "--valid_fraction 1.0 must be at least 0"),
        ({"category_cap": 0}, "--category_cap 0 must be positive."),
        (
            {"leave_one_out": True, "split_time": "2024-03-04"},
            "--leave_one_out and --split_time exclude each other",
        ),
        (
            {"leave_one_out": True, "valid_fraction": 0.1},
            "--leave_one_out and --valid_fraction exclude each other",
        ),
        (
            {"log_format": "sasrec", "unit": "user", "valid_time": "2024"},
            "--valid_time 2024: logs of --format sasrec have no times.",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(values, message):
  with pytest.raises(UserError) as caught:
    Options(logs="x", out="y", **values).complete()
  assert str(caught.value).startswith(message)


@pytest.mark.parametrize("moment", ["2024-03-04", "2024-03-05"])
def test_a_validation_period_that_is_empty_is_refused(moment):
  options = Options(
      logs="x", out="y", valid_time=moment, split_time="2024-03-04"
  )
  with pytest.raises(UserError, match=f"--valid_time {moment}: must be before"):
    options.complete().cut()


def test_no_workers_are_too_few():
  with pytest.raises(UserError, match="--workers 0 must be at least 1."):
    Options(logs="x", out="y", workers=0).complete()
