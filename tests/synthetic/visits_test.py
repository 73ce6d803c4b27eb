import numpy as np
import polars as pl

from behavior_lm.synthetic.visits import visit_log


def test_a_map_is_left_that_was_entered_and_long_fights_are_won():
  log = visit_log(num_users=5, num_days=2)
  last = None
  seconds = log["timestamp"].dt.epoch("ms").to_numpy() / 1e3
  for row in range(log.height):
    event, design = log["event_id"][row], log["design_id"][row]
    if event == "enter":
      last = design
    if event == "leave":
      assert design == last
    if event == "fight":
      won = seconds[row + 1] - seconds[row] > 20
      assert log["event_id"][row + 1] == ("win" if won else "lose")
  assert log.group_by("event_id").len().height == 8
  assert log.equals(log.sort("user_id", "timestamp", maintain_order=True))


def test_nothing_but_the_gap_tells_how_a_fight_ends():
  log = visit_log()
  ends = log.filter(pl.col("event_id").is_in(["win", "lose"]))
  won = (ends["event_id"] == "win").to_numpy()
  assert abs(won.mean() - 0.5) < 0.03
  by_user = ends.group_by("user_id").agg((pl.col("event_id") == "win").mean())
  # Of 18 fair draws the share varies by 0.12.
  assert by_user["event_id"].std() < 0.2
  assert abs(np.corrcoef(won[1:], won[:-1])[0, 1]) < 0.1
