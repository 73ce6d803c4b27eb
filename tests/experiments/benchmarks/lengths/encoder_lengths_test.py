import pytest

from experiments.benchmarks.lengths import encoder_lengths
from experiments.benchmarks.race.encoder_cases import make_case
from tests.peers import REPO


def row(length, speed, scratch_a_token, model="bert"):
  batch_size = encoder_lengths.batch_size(length)
  case = make_case(model, length=length, batch_size=batch_size)
  tokens = batch_size * length
  return {
      "command": "python experiments/benchmark.py lengths",
      "case": case,
      "program_bytes": {"arguments": 0, "scratch": tokens * scratch_a_token},
      "versions": {"jax": "1"},
      "skipped": "" if speed else "needs 99.0 GB, limit 12.0 GB",
      "seconds": [tokens / speed * k for k in (1, 2, 0.5)] if speed else [],
      "tokens_per_second": speed,
      "peak_bytes": 5e6 if speed else None,
  }


def test_steps_of_short_rows_have_several():
  sizes = [encoder_lengths.batch_size(n) for n in (1024, 4096, 32_768)]
  assert sizes == [4, 1, 1]


def test_growth_compares_the_longest_row_that_ran():
  rows = [
      row(1024, 900.0, 10),
      row(4096, 1000.0, 10),
      row(8192, 800.0, 15),
      row(16_384, None, 30),
      row(1024, 900.0, 10, "albert"),
  ]
  assert encoder_lengths.growth(rows) == [
      {"model": "bert", "length": 8192, "speed": 0.8, "memory": 1.5}
  ]
  text = encoder_lengths.to_markdown({
      "machine": {"cores": 2, "kind": "x86_64"}, "rows": rows,
  })
  assert "| bert | 8,192 | 80% | 1.50 |" in text
  assert (
      "| bert | 900 (600 to 1,200; 3) | 1,000 (667 to 1,333; 3)"
      " | 800 (533 to 1,067; 3) | needs 99.0 GB, limit 12.0 GB |"
  ) in text
  assert "| albert | 900 (600 to 1,200; 3) | - | - | - |" in text


@pytest.mark.slow
def test_a_point_is_measured_in_a_process_of_its_own():
  case = make_case("bert", heads=["masked"], tiny=True)
  found = encoder_lengths.measure(
      case, root=REPO, repeats=2, max_bytes=1e9
  )
  assert len(found["seconds"]) == 2 and found["skipped"] == ""
  assert found["tokens_per_second"] > 0 and found["peak_bytes"] > 1e8
  assert found["program_bytes"]["scratch"] > 0
  assert "tokens/s" in encoder_lengths.describe(found)


@pytest.mark.slow
def test_a_point_that_needs_too_much_is_told_and_not_run():
  case = make_case("bert", heads=["masked"], tiny=True)
  found = encoder_lengths.measure(case, root=REPO, repeats=2, max_bytes=1e3)
  assert found["tokens_per_second"] is None
  assert found["skipped"].endswith("limit 0.0 GB")
  assert found["skipped"] in encoder_lengths.describe(found)


@pytest.mark.parametrize("length", encoder_lengths.LENGTHS)
def test_every_length_fills_rows_that_reformers_chunks_divide(length):
  assert length % 64 == 0
