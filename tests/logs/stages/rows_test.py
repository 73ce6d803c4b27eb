from behavior_lm.logs.stages import rows


def test_an_extra_column_may_have_the_name_of_a_field():
  kind = rows.row_type(["time", "user", "level"])
  assert kind.itemsize == 20 + 3 * 4
  assert rows.extra_names(kind) == ("time", "user", "level")
  assert kind[rows.extra_field("time")] == "<f4" and kind["time"] == "<i8"
