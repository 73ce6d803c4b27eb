import json

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler
from apache_beam.ml.inference.base import RunInference
import numpy as np
import pytest

from behavior_lm.inference.beam_handler import EncoderHandler
from behavior_lm.inference.embedder import Embedder
from tests.inference.fake_runs import EVENTS
from tests.inference.fake_runs import make_run


@pytest.mark.slow
def test_a_pipeline_gives_the_vectors_of_the_local_path(tmp_path):
  run = tmp_path / "run"
  make_run(run)
  embedder = Embedder.load(run)
  rng = np.random.default_rng(0)
  histories = {
      f"user{n}": rng.choice(EVENTS, 3 + 4 * n).tolist() for n in range(5)
  }
  want = dict(
      zip(
          histories,
          embedder.encode(list(histories.values()), pooling="max"),
          strict=True,
      )
  )
  handler = EncoderHandler(run, pooling="max", max_batch_size=2)
  found = {}
  with beam.Pipeline("DirectRunner") as pipeline:
    _ = (
        pipeline
        | beam.Create(list(histories.items()))
        | RunInference(KeyedModelHandler(handler))
        | beam.Map(lambda pair: [pair[0], pair[1].inference.tolist()])
        | beam.Map(json.dumps)
        | beam.io.WriteToText(str(tmp_path / "out"))
    )
  for part in tmp_path.glob("out*"):
    found |= dict(map(json.loads, part.read_text().splitlines()))
  assert found.keys() == want.keys()
  for user, vector in found.items():
    np.testing.assert_allclose(vector, want[user], atol=1e-5)
