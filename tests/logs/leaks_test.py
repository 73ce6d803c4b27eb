"""Whatever crosses the splits of a finished dataset is found and named."""

import copy
import dataclasses

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import leaks
from behavior_lm.logs import splits
from tests.logs.support import log_files

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow

_HOUR = 3600
_VALID, _CUT = log_files.at(24 * _HOUR), log_files.at(48 * _HOUR)


@pytest.fixture(scope="module", params=["user", "user_day"])
def real(request, tmp_path_factory):
  """A dataset with all splits and a categorical column."""
  folder = tmp_path_factory.mktemp("leaks")
  rows = [
      (f"u{user}", f"e{hour % 4}", f"d{user % 3}", hour * _HOUR)
      for user in range(30)
      for hour in range(0, 96, 5)
  ]
  shops = [f"s{n % 5}" for n in range(len(rows))]
  log_files.event_frame(rows).with_columns(
      shop=pl.Series(shops)
  ).write_parquet(folder / "log.parquet")
  dataset = log_files.prepared(
      folder / "log.parquet",
      folder / "out",
      unit=request.param,
      extras=("shop:cat",),
      valid_time=_VALID.strftime("%Y-%m-%d"),
      split_time=_CUT.strftime("%Y-%m-%d"),
      valid_fraction=0.4,
      user_fraction=0.4,
  )
  assert dataset.splits == list(splits.SPLITS)
  return dataset


@dataclasses.dataclass
class Changed:
  """A dataset of which a few things are otherwise than they were written.

  What is changed on disk fails the checksums before; this is a dataset made
  wrong.
  """

  real: object
  pairs: pl.DataFrame
  shops: pl.DataFrame
  examples: dict[str, list[dict]]

  def __post_init__(self):
    self.path = self.real.path
    self.meta = self.real.meta
    self.splits = self.real.splits
    self.extras = self.real.extras

  def categories(self, name):
    return {"shop": self.shops}[name]

  def source(self, split):
    return self.examples[split]

  def sequences(self, split):
    found = self.examples[split]
    starts = pl.Series([example["start"] for example in found])
    return pl.DataFrame({
        "user_id": [example["user_id"] for example in found],
        "start": starts.cast(pl.Datetime("us", "UTC")),
        "num_events": [len(example["timestamp"]) for example in found],
    })


@pytest.fixture(scope="module")
def examples(real):
  sources = {split: real.source(split) for split in real.splits}
  return {
      split: [source[n] for n in range(len(source))]
      for split, source in sources.items()
  }


@pytest.fixture
def changed(real, examples):
  examples = copy.deepcopy(examples)
  return Changed(real, real.pairs, real.categories("shop"), examples)


def problems(dataset):
  return leaks.find_leaks(dataset).messages


def test_a_dataset_as_prepared_has_no_leak(real, changed):
  found = leaks.check_dataset_leaks(real)
  assert (found.num_events, found.num_users) == (30 * 20, 30)
  assert found.num_sequences == sum(
      part["num_sequences"] for part in real.meta["splits"].values()
  )
  assert problems(changed) == []


def test_a_user_who_crosses_is_named(changed):
  moved = changed.examples["heldout_users"].pop()
  changed.examples["train"].append(moved)
  user = moved["user_id"]
  place = len(changed.examples["train"]) - 1
  found = "\n".join(problems(changed))
  assert f"user {user!r} is in train[{place}] and in heldout_users" in found
  leak = f"(?s)splits leak:\n.*user {user!r} is in "
  with pytest.raises(UserError, match=leak):
    leaks.check_dataset_leaks(changed)


def test_a_user_who_is_moved_wholly_is_named(changed):
  user = changed.examples["heldout_users"][0]["user_id"]
  for theirs in ("train", "test"):
    ours = "heldout_users" + ("_test" if theirs == "test" else "")
    both = changed.examples[ours]
    changed.examples[ours] = [e for e in both if e["user_id"] != user]
    changed.examples[theirs] += [e for e in both if e["user_id"] == user]
  [first] = [text for text in problems(changed) if "but the seed" in text]
  assert first.startswith(f"user {user!r} is in train[")
  assert first.endswith("puts them into heldout_users and heldout_users_test")


@pytest.mark.parametrize(
    ("split", "shift", "side"),
    [
        ("train", 10, "at or after 2024-03-05T00:00:00Z, where this split"),
        ("valid", 10, "at or after 2024-03-06T00:00:00Z, where this split"),
        ("valid", -10, "before 2024-03-05T00:00:00Z, where this split begins"),
        ("valid_users", 10, "at or after 2024-03-06T00:00:00Z, where this"),
        ("valid_users_test", -10, "before 2024-03-06T00:00:00Z, where this"),
        ("heldout_users", 10, "at or after 2024-03-06T00:00:00Z, where this"),
        ("test", -10, "before 2024-03-06T00:00:00Z, where this split begins"),
        ("heldout_users_test", -10, "before 2024-03-06T00:00:00Z, where this"),
    ],
)
def test_an_event_that_crosses_is_named(changed, split, shift, side):
  example = changed.examples[split][1]
  times = example["timestamp"].copy()
  times[2] += shift * 86_400_000_000
  changed.examples[split][1] = example | {"timestamp": times}
  [message] = problems(changed)
  user = example["user_id"]
  assert message.startswith(f"{split}[1]: event 2 of user {user!r} is of 2024-")
  assert f", {side}" in message


def test_an_event_at_the_split_time_itself_crosses(changed):
  example = changed.examples["train"][0]
  times = example["timestamp"].copy()
  times[-1] = int(_VALID.timestamp()) * 1_000_000
  changed.examples["train"][0] = example | {"timestamp": times}
  assert len(problems(changed)) == 1
  times[-1] -= 1
  assert problems(changed) == []


def test_a_sequence_at_the_wrong_place_is_named(real, changed):
  changed.sequences = real.sequences
  changed.examples["train"][:2] = changed.examples["train"][1::-1]
  first, second = problems(changed)
  assert first.startswith("train[0]: is not the sequence that")
  assert second.startswith("train[1]: is not the sequence that")


def test_counts_of_test_events_in_the_vocabulary_are_found(changed):
  counts = changed.pairs["train_count"].to_numpy().copy()
  for example in changed.examples["test"]:
    counts += np.bincount(example["pair"], minlength=len(counts))
  changed.pairs = changed.pairs.with_columns(pl.Series("train_count", counts))
  [message] = problems(changed)
  assert message.startswith("pairs.parquet: train_count of 12 rows")


def test_categories_that_were_counted_in_test_are_found(changed):
  counts = changed.shops["train_count"] + (changed.shops["value"] == "s3")
  changed.shops = changed.shops.with_columns(train_count=counts.fill_null(0))
  [message] = problems(changed)
  place = "categories/shop.parquet: train_count of 1 rows is not their number"
  assert message.startswith(place) and "first (s3)" in message


def test_many_leaks_are_counted_and_a_few_named(changed):
  changed.meta = changed.meta | {"valid_time": "2024-03-04T00:00:00Z"}
  count = len(changed.examples["train"])
  assert count > 5
  with pytest.raises(UserError) as caught:
    leaks.check_dataset_leaks(changed)
  assert f"and {count - 5} more" in str(caught.value)


def test_events_that_are_not_the_last_are_found(tmp_path):
  rows = [(f"u{n % 9}", "e", "d", n * _HOUR) for n in range(40)]
  log_files.event_frame(rows).write_parquet(tmp_path / "log.parquet")
  real = log_files.prepared(
      tmp_path / "log.parquet", tmp_path / "out", leave_one_out=True
  )
  assert leaks.check_dataset_leaks(real).num_users == 9
  examples = {name: list(real.source(name)) for name in real.splits}
  changed = Changed(real, real.pairs, pl.DataFrame(), examples)
  valid, test = examples["valid"][4], examples["test"][4]
  assert valid["user_id"] == test["user_id"]
  examples["valid"][4], examples["test"][4] = test, valid
  [message] = problems(changed)
  assert message.startswith(f"user {test['user_id']!r} does not have their la")


def test_without_a_split_time_only_users_are_checked(tmp_path):
  rows = [(f"u{n % 9}", "e", "d", n * _HOUR) for n in range(90)]
  log_files.event_frame(rows).write_parquet(tmp_path / "log.parquet")
  dataset = log_files.prepared(
      tmp_path / "log.parquet", tmp_path / "out", user_fraction=0.4
  )
  assert leaks.check_dataset_leaks(dataset).num_events == 90
