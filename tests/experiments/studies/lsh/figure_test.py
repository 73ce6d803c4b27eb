import io

from PIL import Image

from experiments.studies.lsh.figure import draw_recall
from experiments.studies.lsh.figure import recall_table

ROWS = [
    dict(
        vectors=name,
        rounds=rounds,
        recall=0.1 * place + 0.2 * rounds,
        low=0.1 * place + 0.2 * rounds - 0.05,
        high=0.1 * place + 0.2 * rounds + 0.05,
        keys_seen=0.1 * rounds,
    )
    for place, name in enumerate(["near", "far"])
    for rounds in (1, 4)
]


def test_the_table_has_a_row_for_each_kind_and_for_chance():
  assert recall_table(ROWS).splitlines() == [
      "| vectors | 1 round | 4 rounds |",
      "|---|---:|---:|",
      "| near | 20.0 % (15.0 to 25.0) | 80.0 % (75.0 to 85.0) |",
      "| — by chance | 10.0 % | 40.0 % |",
      "| far | 30.0 % (25.0 to 35.0) | 90.0 % (85.0 to 95.0) |",
      "| — by chance | 10.0 % | 40.0 % |",
  ]


def test_the_figure_shows_the_figures():
  png = draw_recall(ROWS)
  width, height = Image.open(io.BytesIO(png)).size
  assert width > 1000 and height > 500
  changed = [{**ROWS[0], "recall": 0.9}, *ROWS[1:]]
  assert draw_recall(changed) != png
