from hypothesis import given
from hypothesis import strategies as st
import polars as pl

from behavior_lm.logs.stages import code_table

_PAIRS = st.lists(
    st.tuples(st.text("ab\né", max_size=2), st.text("01", max_size=2)),
    max_size=20,
)


def frame(pairs):
  return pl.DataFrame(
      pairs,
      schema={"event_id": pl.String, "design_id": pl.String},
      orient="row",
  )


@given(st.lists(_PAIRS, max_size=4), st.integers(0, 4))
def test_final_codes_are_places_in_the_sorted_pairs_of_all_tasks(batches, cut):
  tasks = [code_table.CodeTable(code_table.PAIR) for _ in range(2)]
  codes = [
      (number := int(place >= cut), tasks[number].encode(frame(batch)))
      for place, batch in enumerate(batches)
  ]
  merged = code_table.merge((task.values for task in tasks), code_table.PAIR)
  assert merged.rows() == sorted({pair for batch in batches for pair in batch})
  final = [
      code_table.merged_codes(task.values, merged, code_table.PAIR)
      for task in tasks
  ]
  for batch, (number, code) in zip(batches, codes, strict=True):
    assert [merged.row(place) for place in final[number][code]] == batch


def test_codes_are_in_the_order_of_discovery_and_stay():
  table = code_table.CodeTable(code_table.PAIR)
  names = [f"{n * 7 % 50}" for n in range(50)]
  first = table.encode(frame([(name, "0") for name in names + names]))
  second = table.encode(frame([("new", "0"), (names[3], "0")]))
  assert first.tolist() == [*range(50), *range(50)]
  assert second.tolist() == [50, 3]
  assert [pair[0] for pair in table.values.rows()] == [*names, "new"]


def test_a_row_without_a_value_gets_no_code():
  table = code_table.CodeTable(code_table.VALUE)
  values = pl.DataFrame({"value": ["b", None, "a", None, "b"]})
  assert table.encode(values).tolist() == [0, -1, 1, -1, 0]
  assert table.encode(values[::-1]).tolist() == [0, -1, 1, -1, 0]
  assert table.values["value"].to_list() == ["b", "a"]
