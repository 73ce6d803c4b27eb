"""Columns of an interaction beside its prompt: ids and statistics.

Ids are known from training rows alone; a rare or new one is 0 ("unknown").
Statistics of a user are over all that lies strictly before; statistics of an
item are over training rows strictly before, so that no label of a test row
enters through them.
"""

from collections.abc import Sequence
import dataclasses
import json
from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.common.files import write_whole
from behavior_lm.data.prompts.interactions import TRAIN
from behavior_lm.data.prompts.templates import group_codes

FILE = "features.json"
IDS = ("domain", "user_id", "item")
STATISTICS = ("user_count", "user_mean", "item_count", "item_mean")
# A mean of so few labels is drawn to that of the domain.
_PRIOR_ROWS = 5.0


@dataclasses.dataclass(frozen=True)
class PromptFeatures:
  """What is learned from training rows.

  Attributes:
    domains: names, whose places are the ids of domains; others are -1.
    values: {column: known values}; the id of a value is its place + 1.
    means: share of positive labels in each domain.
    centres, scales: of the statistics.
  """

  domains: list[str]
  values: dict[str, list[str]]
  means: list[float]
  centres: list[float]
  scales: list[float]

  @classmethod
  def fit(
      cls, frame: pl.DataFrame, *, min_count: int = 2
  ) -> "PromptFeatures":
    """Learns from the training rows of a table, see `interactions`."""
    train = frame.filter(pl.col("split") == TRAIN)
    domains = train["domain"].unique().sort().to_list()
    values = {
        name: _keys(train, name)
        .value_counts()
        .filter(pl.col("count") >= min_count)
        .to_series(0)
        .sort()
        .to_list()
        for name in IDS
    }
    means = [
        float(train.filter(pl.col("domain") == name)["label"].to_numpy().mean())
        for name in domains
    ]
    plain = cls(domains, values, means, [0.0] * 4, [1.0] * 4)
    rows = (frame["split"] == TRAIN).to_numpy()
    dense = plain.dense(frame)[rows]
    scales = np.where(dense.std(0) > 1e-6, dense.std(0), 1.0)
    return dataclasses.replace(
        plain, centres=dense.mean(0).tolist(), scales=scales.tolist()
    )

  @property
  def sizes(self) -> dict[str, int]:
    """{column: ids, the unknown one included}."""
    return {name: len(known) + 1 for name, known in self.values.items()}

  def domain(self, frame: pl.DataFrame) -> np.ndarray:
    """[n] int32; -1 is a domain that was not trained on."""
    return _codes(frame["domain"], self.domains) - 1

  def ids(self, frame: pl.DataFrame) -> np.ndarray:
    """[n, len(IDS)] int32 rows of one table of all columns.

    The values of a column follow those of the column before it.
    """
    found, offset = [], 0
    for name, known in self.values.items():
      found.append(_codes(_keys(frame, name), known) + offset)
      offset += len(known) + 1
    return np.stack(found, 1)

  def dense(self, frame: pl.DataFrame) -> np.ndarray:
    """[n, len(STATISTICS)] float32, of mean 0 and scale 1 in training rows."""
    prior = np.full(len(frame), np.mean(self.means))
    domain = self.domain(frame)
    prior[domain >= 0] = np.array(self.means)[domain[domain >= 0]]
    columns = []
    for key, visible in (
        ("user_id", np.ones(len(frame), bool)),
        ("item", frame["told"].to_numpy()),
    ):
      count, liked = count_before(frame, [key], visible)
      mean = (liked + _PRIOR_ROWS * prior) / (count + _PRIOR_ROWS) - prior
      columns += [np.log1p(count), mean]
    dense = (np.stack(columns, 1) - self.centres) / self.scales
    return dense.astype(np.float32)

  def save(self, folder: Path) -> None:
    text = json.dumps(dataclasses.asdict(self), ensure_ascii=False)
    write_whole(folder / FILE, text + "\n")

  @classmethod
  def load(cls, folder: Path) -> "PromptFeatures":
    return cls(**json.loads((folder / FILE).read_text(encoding="utf-8")))


def count_before(
    frame: pl.DataFrame, keys: list[str], visible: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """How many rows of the same domain and keys lie strictly before each row.

  Args:
    frame: sorted by time.
    keys: columns beside `domain` that must be equal.
    visible: [n] bool, the rows that count.

  Returns:
    [n] float64 rows, and how many of them have the label 1.
  """
  times, labels = frame["time"].to_numpy(), frame["label"].to_numpy()
  own = np.stack([visible, visible * labels], 1).astype(np.float64)
  # Sorted by group, then time: sums over a group up to the present time.
  codes = group_codes(frame, keys)
  order = np.lexsort((times, codes))
  total = np.concatenate([np.zeros((1, 2)), own[order].cumsum(0)])
  group, time = codes[order], times[order]
  new_group = np.r_[True, group[1:] != group[:-1]]
  new_time = new_group | np.r_[True, time[1:] != time[:-1]]
  place = np.arange(len(frame))
  first = np.maximum.accumulate(np.where(new_group, place, 0))
  here = np.maximum.accumulate(np.where(new_time, place, 0))
  found = np.empty((len(frame), 2))
  found[order] = total[here] - total[first]
  return found[:, 0], found[:, 1]


def _keys(frame: pl.DataFrame, name: str) -> pl.Series:
  """Values of a column; users and items of two domains are not the same."""
  if name == "domain":
    return frame["domain"]
  both = pl.format("{}:{}", "domain", name).alias(name)
  return frame.select(both).to_series()


def _codes(values: pl.Series, known: Sequence[str]) -> np.ndarray:
  """Place + 1 among the known values; 0 is unknown."""
  table = {value: number for number, value in enumerate(known, 1)}
  found = values.replace_strict(
      table, default=0, return_dtype=pl.Int32
  )
  return found.to_numpy()
