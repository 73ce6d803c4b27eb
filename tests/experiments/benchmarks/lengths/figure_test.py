from experiments.benchmarks.lengths import figure as lengths_curve


def test_points_that_did_not_run_have_memory_alone(tmp_path):
  rows = [
      {
          "case": {"model": model, "length": length, "batch_size": 1},
          "tokens_per_second": None if length == 8192 else 1000.0,
          "program_bytes": {"scratch": 1e6 * length},
      }
      for model in ("bert", "longformer")
      for length in (8192, 1024, 4096)
  ]
  path = tmp_path / "lengths.png"
  lengths_curve.draw(rows, path)
  assert path.read_bytes().startswith(b"\x89PNG")
