import datetime

import polars as pl

from behavior_lm.reporting.attribution_figure import draw_attribution
from behavior_lm.reporting.attribution_figure import NAMED


def test_every_event_is_a_bar_and_the_largest_are_named():
  size = 30
  start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
  events = pl.DataFrame({
      "user_id": ["u"] * size,
      "timestamp": [
          start + datetime.timedelta(minutes=n) for n in range(size)
      ],
      "token": [f"e{n}" for n in range(size)],
      "label": ["bot"] * size,
      "attribution": [(-1) ** n * n / 10 for n in range(size)],
      "prediction": [1.25] * size,
      "baseline": [-0.5] * size,
  })
  figure = draw_attribution(events)
  # An event that adds nothing has no bar.
  assert len(figure.axes.patches) == size - 1
  named = [text.get_text() for text in figure.axes.texts]
  assert sorted(named) == sorted(f"e{n}" for n in range(size - NAMED, size))
  assert "1.25" in figure.caption and "-0.50" in figure.caption
  assert figure.png.startswith(b"\x89PNG")
