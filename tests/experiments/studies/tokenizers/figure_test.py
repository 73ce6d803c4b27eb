import pytest

from experiments.studies.tokenizers import figure as report


def row(settings, **changes):
  return {
      "settings": settings,
      "vocab_size": 7000,
      "coverage": {"exact": 0.99, "event_alone": 0.008, "unknown": 0.002},
      "compression": 4.5,
      "mean_tokens": 600.4,
      "p95_tokens": 1900.0,
      "mean_events": 2701.8,
      "longest_token_events": 64,
      "used_tokens": 5000,
      "unigram_bits_per_event": 2.7,
      "encode_events_per_second": 3_400_000.0,
      "frequencies": [[1, 1000], [10, 90], [100, 3]],
      "pieces": {
          "num_chains": 2,
          "most_frequent": [{"events": 2, "count": 9, "name": "a#0 b#1"}],
          "longest": [{"events": 3, "count": 1, "name": "a#0 b#1 c#2"}],
      },
  } | changes


ROWS = [row("pair,vocab_size=7000"), row("bpe,vocab_size=7000")]


def test_the_table_has_every_figure_and_what_made_it():
  text = report.to_markdown({
      "data": "logs",
      "split": "test",
      "num_sequences": 400,
      "rows": ROWS,
      "round_trips": {"bpe,vocab_size=7000": 4_399_629},
      "command": "python experiments/studies/tokenizers/run.py --data logs",
  })
  cells = "7,000 | 99.00% | 0.80% | 0.200% | 4.50 | 600 | 1,900 | 64 |"
  assert f"| bpe, vocab_size=7000 | {cells}" in text
  assert "all 4,399,629 events back" in text
  assert "python experiments/studies/tokenizers/run.py --data logs" in text


def test_chains_are_listed_where_there_are_some():
  none = {"num_chains": 0, "most_frequent": [], "longest": []}
  text = report.pieces_markdown([row("pair", pieces=none), row("bpe")])
  assert "## bpe" in text and "## pair" not in text
  assert "- 9 times, 2 events: `a#0 b#1`" in text


@pytest.mark.slow
def test_the_figure_is_a_picture(tmp_path):
  report.draw(ROWS, tmp_path / "a.png")
  assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
