"""Samples from the log itself: which design has the next event of some kind?"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from behavior_lm.data.samples import summary
from behavior_lm.data.samples.history import History
from behavior_lm.data.samples.sample_columns import LABEL
from behavior_lm.data.samples.sample_columns import MULTI_CLASS
from behavior_lm.data.samples.sample_columns import ROW
from behavior_lm.data.samples.sample_columns import SampleColumns
from behavior_lm.data.samples.sample_columns import TIME
from behavior_lm.data.samples.sample_columns import WEIGHT
from behavior_lm.data.samples.table import SampleTable
from behavior_lm.logs import schema


def rows_from_log(
    history: History, event_ids: Sequence[str], *, label: str = "next"
) -> SampleTable:
  """Makes a row of every event whose event id is given.

  The row's time is that of the event, so its history ends strictly before it.
  Every event of the log becomes a row: events at the same time are kept, in
  the order of the log, and counted as `tied_rows`. An event that announces the
  answer before that time is removed by `Samples(excluded_events=...)`.

  Args:
    history: of the dataset.
    event_ids: which events are to be predicted.
    label: name of the label, which is the design id of the event.

  Returns:
    The table, sorted by user, time and the order of the log; "sample/row"
    counts its rows from 1.

  Raises:
    UserError: if the log has no event of such an id.
  """
  wanted = history.pair_mask(event_ids)
  users, times, pairs = [], [], []
  for number in range(history.num_sequences):
    example = history.read(number)
    found = wanted[example["pair"]]
    users += [example[schema.USER_ID]] * int(found.sum())
    times.append(example[schema.TIMESTAMP][found])
    pairs.append(example["pair"][found])
  designs = history.pairs[schema.DESIGN_ID].gather(np.concatenate(pairs))
  stamps = np.concatenate(times)
  frame = pl.DataFrame({
      ROW: np.arange(1, len(users) + 1),
      schema.USER_ID: pl.Series(users, dtype=pl.String),
      TIME: pl.Series(stamps).cast(pl.Datetime("us", "UTC")),
      LABEL + label: designs,
      WEIGHT: np.ones(len(users)),
  })
  columns = SampleColumns(labels={label: MULTI_CLASS})
  ties = frame.select(schema.USER_ID, TIME).is_duplicated()
  first = history.first_events(history.codes(frame[schema.USER_ID]))
  counts = {
      "tied_rows": int(ties.sum()),
      "rows_without_history": int((stamps <= first).sum()),
      "users_without_rows": len(history.users)
      - frame[schema.USER_ID].n_unique(),
  }
  no_rows = pl.DataFrame(
      schema={"row": pl.Int64, "reason": pl.String, "text": pl.String}
  )
  return SampleTable(
      columns, frame, summary.describe(frame, columns) | counts, no_rows
  )
