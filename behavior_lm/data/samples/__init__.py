"""Labelled rows of user, time, labels and candidates, with their history.

  history = History(open_dataset(path))
  table = read_table("labels.csv", SampleColumns(labels={"bot": "binary"}),
                     history)
  print(to_markdown(table.summary))
  sides = splits.by_user(table, {"train": 0.8, "test": 0.2}, seed=0)
  known = vocabulary.fit(table, sides["train"])
  train = Samples(table, history, rows=sides["train"], vocabularies=known,
                  max_events=1_000)
  train[0]["pair"], train[0]["label/bot"]

The history of a row holds the events of its user STRICTLY before the row's
time, from all splits of the dataset; a row without a time sees all events.

  sample_columns  which column of a label table holds what
  table           reads a label table, sets bad rows aside, counts
  log_rows        makes the rows from events of the log itself
  splits          by user, by time, both, leave-one-out, folds, train sizes
  vocabulary      classes and categories as codes, from training rows
  history         the events of a user before a time, read on demand
  join            the samples
"""

from behavior_lm.data.samples.history import END_OF_HISTORY
from behavior_lm.data.samples.history import History
from behavior_lm.data.samples.join import Samples
from behavior_lm.data.samples.log_rows import rows_from_log
from behavior_lm.data.samples.sample_columns import SampleColumns
from behavior_lm.data.samples.summary import to_markdown
from behavior_lm.data.samples.table import read_table
from behavior_lm.data.samples.table import SampleTable

__all__ = [
    "END_OF_HISTORY",
    "History",
    "SampleColumns",
    "SampleTable",
    "Samples",
    "read_table",
    "rows_from_log",
    "to_markdown",
]
