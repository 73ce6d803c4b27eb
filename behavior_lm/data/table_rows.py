"""Rows of plain columns, one sample each, for models that read no tokens."""

from collections.abc import Mapping

from grain.experimental import index_shuffle
import numpy as np

from behavior_lm.data.fields import Field
from behavior_lm.data.fields import FIELDS
from behavior_lm.data.windows import mix64


class TableRows:
  """Rows by (epoch, place in the epoch), for `data.pipeline`; picklable.

  Args:
    columns: {field: [n, ...]}; `sample` is added, the place in the columns.
    seed: of the order.
    train: shuffle, another order each epoch, without end; otherwise the rows
      once, in order.
  """

  table: Mapping[str, Field] = FIELDS

  def __init__(
      self,
      columns: Mapping[str, np.ndarray],
      *,
      seed: int = 0,
      train: bool = True,
  ):
    self.rows_per_epoch = len(next(iter(columns.values())))
    places = np.arange(self.rows_per_epoch, dtype=np.int32)
    self.columns = {**columns, "sample": places}
    self.seed, self.train = seed, train

  def __len__(self) -> int:
    return self.rows_per_epoch * (10**9 if self.train else 1)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    epoch, place = divmod(int(index), self.rows_per_epoch)
    if self.train and self.rows_per_epoch > 1:
      place = index_shuffle(
          place,
          max_index=self.rows_per_epoch - 1,
          seed=mix64(self.seed, epoch) & 0xFFFFFFFF,
          rounds=4,
      )
    return {name: values[place] for name, values in self.columns.items()}
