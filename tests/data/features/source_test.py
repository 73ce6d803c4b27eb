"""Feature tables are read with or without a header, and with lookups."""

import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.features import criteo_schema
from behavior_lm.data.features import FeatureSpace
from behavior_lm.data.features.source import read_source
from behavior_lm.data.samples import read_table
from behavior_lm.data.samples import SampleColumns
from behavior_lm.logs.formats.criteo import NAMES


def criteo_lines(separator: str) -> list[str]:
  lines = []
  for row in range(20):
    numbers = [str(row * place) if place % 5 else "" for place in range(13)]
    texts = [f"{row % (place + 2):08x}" for place in range(25)]
    lines.append(separator.join([str(row % 2), *numbers, *texts, ""]))
  return lines


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("separator", ["\t", ","])
def test_criteo_is_read_end_to_end(tmp_path, separator, header):
  lines = criteo_lines(separator)
  if header:
    lines.insert(0, separator.join(["Label", *NAMES[1:]]))
  file = tmp_path / "train.txt"
  file.write_text("\n".join(lines) + "\n")
  schema = criteo_schema(min_count=2)
  columns = SampleColumns(
      labels={"label": "binary"},
      user="",
      dense=schema.names("dense"),
      categorical=schema.columns,
  )
  table = read_table(read_source(file, header="criteo"), columns, None)
  arrays = FeatureSpace.fit(table.frame, schema).encode(table.frame)
  assert len(table) == 20
  # Numbers 1, 6 and 11 are empty everywhere, and say so.
  assert arrays["dense"].shape == (20, 13 + 3)
  assert arrays["ids"].shape == (20, 26)


def test_criteo_of_another_width_is_refused(tmp_path):
  file = tmp_path / "train.txt"
  file.write_text("1\t2\t3\n")
  with pytest.raises(UserError, match=r"3 fields, the log of Criteo has 40"):
    read_source(file, header="criteo")


def test_columns_of_another_file_are_joined(tmp_path):
  rows, items = tmp_path / "rows.parquet", tmp_path / "items.tsv"
  pl.DataFrame({"item": [2, 1, 3], "label": [0, 1, 0]}).write_parquet(rows)
  items.write_text("item\tgenre\n1\tdrama\n2\twar\n")
  frame = read_source(rows, lookups={"item": str(items)})
  assert frame["genre"].to_list() == ["war", "drama", None]
  assert frame["item"].to_list() == [2, 1, 3]


def test_a_lookup_with_two_answers_is_refused(tmp_path):
  rows, items = tmp_path / "rows.csv", tmp_path / "items.csv"
  rows.write_text("item,label\n1,0\n")
  items.write_text("item,genre\n1,a\n1,b\n")
  with pytest.raises(UserError, match="'1' is in several rows"):
    read_source(rows, lookups={"item": str(items)})


def test_names_of_columns_can_be_given(tmp_path):
  rows = tmp_path / "rows.tsv"
  rows.write_text("7\t1\n8\t0\n")
  frame = read_source(rows, header=["item", "label"])
  assert frame.to_dicts()[1] == {"item": "8", "label": "0"}
