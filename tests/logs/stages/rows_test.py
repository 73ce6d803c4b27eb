from behavior_lm.logs import schema
from behavior_lm.logs.stages import rows


def test_an_extra_column_may_have_the_name_of_a_field():
  kind = rows.row_type({
      "time": schema.NUMERIC,
      "user": schema.CATEGORICAL,
      "level": schema.NUMERIC,
  })
  assert kind.itemsize == 20 + 8 + 4 + 8
  assert rows.extra_names(kind) == ("time", "user", "level")
  assert kind[rows.extra_field("time")] == "<f8" and kind["time"] == "<i8"
  assert kind[rows.extra_field("user")] == "<i4" and kind["user"] == "<u8"
