"""Reads label tables: a user id and 0/1 columns."""

from collections.abc import Mapping, Sequence
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import cells
from behavior_lm.data.samples.cells import some
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset
from behavior_lm.logs.splits import group_of
from behavior_lm.logs.splits import GROUPS
from behavior_lm.logs.splits import SPLITS


@dataclasses.dataclass(frozen=True)
class Labels:
  """Labels of the users of a dataset, and what did not fit.

  Attributes:
    table: user_id (String) and one Int8 column a label, null where the user
      has none; one row a user that is in the data and in the file.
    names: the label columns.
    ignored_columns: column -> why it is no label.
    duplicates: users written more than once, with labels that agree.
    contradictions: users written more than once, with labels that do not;
      they are left out.
    missing: label -> users of `table` for whom its cell is empty.
    unlabelled: users of the data that the file does not name.
    unknown: users of the file that the data does not hold.
  """

  table: pl.DataFrame
  names: list[str]
  ignored_columns: dict[str, str]
  duplicates: list[str]
  contradictions: list[str]
  missing: dict[str, list[str]]
  unlabelled: list[str]
  unknown: list[str]

  def notes(self) -> list[str]:
    """One line for each thing that a person should know; perhaps none."""
    lines = [
        f"column {name!r} is no label: {why}"
        for name, why in self.ignored_columns.items()
    ]
    for users, text in (
        (self.duplicates, "named more than once with labels that agree"),
        (self.contradictions, "with contradicting labels, left out"),
        *(
            (users, f"with an empty cell for the label {name!r}")
            for name, users in self.missing.items()
        ),
        (self.unlabelled, "of the data without a label, left out"),
        (self.unknown, "with a label but not in the data, left out"),
    ):
      if users:
        lines.append(f"{len(users)} users {text} ({some(users)})")
    return lines

  def counts(self) -> dict[str, Any]:
    """How many users fit and how many did not, as JSON."""
    return {
        "users": self.table.height,
        "labels": {
            name: {
                "positive": int((self.table[name] == 1).sum()),
                "negative": int((self.table[name] == 0).sum()),
                "missing": len(self.missing[name]),
            }
            for name in self.names
        },
        "duplicates": len(self.duplicates),
        "contradictions": len(self.contradictions),
        "unlabelled": len(self.unlabelled),
        "unknown": len(self.unknown),
        "ignored_columns": self.ignored_columns,
    }


def read_labels(
    path: str | Path,
    users: Sequence[str],
    names: Sequence[str] = (),
    *,
    drop_contradictions: bool = False,
) -> Labels:
  """Reads the labels of `users` from a CSV or Parquet file.

  Args:
    path: columns user_id and one of 0/1 (or true/false) for each label; an
      empty cell, NA or null is no label. Other columns are ignored and named.
    users: the users of the data.
    names: which columns to take; all labels without it.
    drop_contradictions: leave users with contradicting labels out and report
      them, instead of refusing the file.

  Raises:
    UserError: if the file is unreadable, has no user_id or no label, a wanted
      column is missing or holds something else, a user has contradicting
      labels, or no user is in the data.
  """
  table = cells.read_file(Path(path), as_text=True)
  if schema.USER_ID not in table.columns:
    raise UserError(
        f"{path}: no column {schema.USER_ID!r} among {table.columns}. Rename"
        " the one that names the user."
    )
  if table[schema.USER_ID].null_count():
    row = table[schema.USER_ID].is_null().arg_true()[0]
    raise UserError(
        f"{path}: row {row + 1} has no {schema.USER_ID}. Remove that row."
    )
  for name in names:
    if name not in table.columns or name == schema.USER_ID:
      raise UserError(f"{path}: no label {name!r} among {table.columns}.")
  columns, ignored = [], {}
  for name in table.columns:
    if name == schema.USER_ID or (names and name not in names):
      continue
    why = _why_no_label(table[name])
    if not why:
      columns.append(name)
    elif name in names:
      raise UserError(f"{path}: column {name!r} is no label: {why}.")
    else:
      ignored[name] = why
  if not columns:
    reasons = "; ".join(f"{name}: {why}" for name, why in ignored.items())
    raise UserError(
        f"{path}: no column of 0 and 1 beside {schema.USER_ID}"
        f" ({reasons or 'no other column'})."
    )
  table = table.select(
      schema.USER_ID,
      *(cells.binary(table[name])[0].alias(name) for name in columns),
  )
  table, duplicates, contradictions = _merge_duplicates(table)
  if contradictions and not drop_contradictions:
    raise UserError(
        f"{path}: {len(contradictions)} users have contradicting labels"
        f" ({some(contradictions)}). Keep one row a user, or leave them out"
        " with --drop_contradictions."
    )
  known = set(users)
  labelled = set(table[schema.USER_ID]) | set(contradictions)
  if known and not known & labelled:
    raise UserError(
        f"{path}: none of its {len(labelled)} users ({some(labelled)}) is in"
        f" the data ({some(known)}). Are the ids written the same way?"
    )
  table = table.filter(pl.col(schema.USER_ID).is_in(list(known))).sort(
      schema.USER_ID
  )
  return Labels(
      table=table,
      names=columns,
      ignored_columns=ignored,
      duplicates=duplicates,
      contradictions=contradictions,
      missing={
          name: table.filter(pl.col(name).is_null())[schema.USER_ID].to_list()
          for name in columns
      },
      unlabelled=sorted(known - labelled),
      unknown=sorted(labelled - known),
  )


def _why_no_label(column: pl.Series) -> str:
  """Empty for a label, else what is wrong with its values."""
  numbers, strange = cells.binary(column)
  if strange.any():
    values = column.filter(strange).str.strip_chars().unique()
    return f"it holds {some(values)}, not only 0 and 1"
  return "it is empty" if numbers.null_count() == len(numbers) else ""


def _merge_duplicates(
    table: pl.DataFrame,
) -> tuple[pl.DataFrame, list[str], list[str]]:
  """One row a user.

  An empty cell agrees with everything: of rows that agree, the first value of
  each label is taken.

  Returns:
    The table without the users whose rows contradict each other; the users
    with several rows that agree; and those with rows that do not.
  """
  user = pl.col(schema.USER_ID)
  labels = pl.all().exclude(schema.USER_ID)
  merged = table.group_by(schema.USER_ID, maintain_order=True).agg(
      labels.drop_nulls().first(),
      pl.len().alias("_rows"),
      pl.any_horizontal(labels.drop_nulls().n_unique() > 1).alias("_differ"),
  )
  differ = merged.filter("_differ")
  repeated = merged.filter((pl.col("_rows") > 1) & ~pl.col("_differ"))
  once = merged.filter(~pl.col("_differ")).drop("_rows", "_differ")
  return (
      once,
      repeated.select(user.sort()).to_series().to_list(),
      differ.select(user.sort()).to_series().to_list(),
  )


def check_label_leaks(
    tables: Mapping[str, Labels | pl.DataFrame], dataset: Dataset
) -> None:
  """Raises UserError if labels for different splits share a user.

  Args:
    tables: the labels that belong to each split: what is fitted to the table
      of `train` is scored on that of `heldout_users`. Tables of `train` and
      `test` may name the same users, whose label is the same on both sides of
      the split time; they are one side here.
    dataset: whose users they are.

  Raises:
    UserError: names a user in tables of both sides, a user on one side whom
      the dataset has on the other one, or a table without such a split.
  """
  # For each group of users, the split whose table names each of them.
  found: list[dict[str, str]] = [{} for _ in GROUPS]
  for split, table in tables.items():
    if split not in SPLITS:
      raise UserError(
          f"labels of {split!r}: no such split; there are {', '.join(SPLITS)}."
      )
    frame = table.table if isinstance(table, Labels) else table
    names = dict.fromkeys(frame[schema.USER_ID].to_list(), split)
    found[group_of(split)] |= names
  for one, other in itertools.combinations(found, 2):
    both = set(one) & set(other)
    if both:
      user = min(both)
      raise UserError(
          f"{len(both)} users ({some(both)}) have labels in {one[user]} and in"
          f" {other[user]}: what is fitted to the one is scored on the other."
          " Keep each user on one side."
      )
  for split in dataset.splits:
    here = set(dataset.sequences(split)[schema.USER_ID].to_list())
    for group, names in enumerate(found):
      wrong = here & set(names) if group != group_of(split) else set()
      if wrong:
        raise UserError(
            f"{len(wrong)} users ({some(wrong)}) have labels for"
            f" {names[min(wrong)]}, but {dataset.path} has them in {split}."
            " Give the labels of each split's own users."
        )
