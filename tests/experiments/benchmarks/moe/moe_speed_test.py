import pytest

from experiments.benchmarks.moe import moe_speed
from experiments.benchmarks.moe import run


@pytest.mark.slow
def test_both_are_measured_and_shown():
  # The whole model is the same program around the layer, and takes long.
  found = moe_speed.measure(moe_speed.TINY, 2, ["layer"])
  for part in found.values():
    for name in ("experts", "dense"):
      assert part[name]["wall"] > 0 and part[name]["cpu"] > 0
    want = part["dense"]["wall"] / part["experts"]["wall"]
    assert part["ratio"] == want
  page = run.to_page({
      "command": "python experiments/benchmark.py moe",
      "machine": {"cores": 2},
      "sizes": {
          "embed_dim": 16, "experts": {"num_experts": 4, "top_k": 2}
      },
      "tokens": moe_speed.TINY.tokens,
      "repeats": 2,
      "parts": found,
  })
  assert "4 experts and a shared one" in page
  assert f"| layer | {1 / found['layer']['experts']['wall']:.2f}" in page
