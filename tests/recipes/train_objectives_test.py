"""Runs with several objectives: resumed, embedded, refused."""

from flax import nnx
import numpy as np
import pytest

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.common.errors import UserError
from behavior_lm.inference.embedder import Embedder
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.objectives.weighted_sum import WeightedSum
from behavior_lm.recipes.evaluate import evaluate_runs
from behavior_lm.recipes.pretrain import Pretrain
from behavior_lm.recipes.shared.loading import load_run
from behavior_lm.recipes.train import train
from behavior_lm.training.state import split_model
from tests.tiny import tiny_config
from tests.toy_recipe import SquaredError
from tests.toy_recipe import ToyRecipe
from tests.toy_recipe import train_toy

ALL = "masked_gaps+contrastive+replaced_events+sentence_order"


def figures(run):
  """All metrics but times, in order."""
  return [
      {
          name: value
          for name, value in line.items()
          if name != "seconds" and not name.endswith("per_second")
      }
      for line in read_metrics(run / "metrics.jsonl")
  ]


def train_whole_and_in_parts(make, folder):
  """The metrics of a run, which one that was stopped has to the last bit."""
  train(make(), folder / "whole")
  assert train(make(max_minutes=1e-6), folder / "parts") == "time"
  assert train(make(), folder / "parts") == "finished"
  whole = figures(folder / "whole")
  assert len(whole) == 3 and whole == figures(folder / "parts")
  return whole


@pytest.mark.slow
def test_the_state_of_each_member_is_saved_and_resumed(tmp_path):
  def run(name, **changes):
    recipe = ToyRecipe(None)
    recipe.objective = WeightedSum(
        {"a": (1.0, SquaredError()), "b": (0.5, SquaredError())}
    )
    return train_toy(tmp_path / name, recipe=recipe, total_steps=6, **changes)

  assert run("whole") == "finished"
  assert run("parts", max_minutes=1e-9) == "time"
  assert run("parts") == "finished"
  whole = figures(tmp_path / "whole")
  assert len(whole) == 6 and whole == figures(tmp_path / "parts")
  assert whole[-1]["a/loss"] != whole[-1]["b/loss"]


@pytest.mark.slow
def test_a_sum_of_objectives_goes_on_bit_for_bit_and_is_scored_by_each(
    dataset_path, tmp_path
):
  make = lambda **more: tiny_config(
      dataset_path,
      objective=ALL,
      tokenizer__sessions="2",
      total_steps=3,
      model__num_layers=1,
      # Its table of confidence is a state.
      objective__masked_gaps__strategy="mtc",
      objective__contrastive__weight=0.1,
      **more,
  )
  last = train_whole_and_in_parts(make, tmp_path)[-1]
  assert last["masked_gaps/masked_confidence"] > 0
  assert last["loss"] == pytest.approx(
      last["masked_gaps/loss"]
      + 0.1 * last["contrastive/loss"]
      + last["replaced_events/loss"]
      + last["sentence_order/loss"],
      rel=1e-5,
  )
  dataset = open_dataset(dataset_path)
  for name, columns in {
      "test": {"bits_per_event"},
      "test_masked_gaps": {"nats_per_gap", "log_gap_error"},
      "test_contrastive": {"mrr", "hr@1"},
      "test_replaced_events": {"auc"},
      "test_sentence_order": {"accuracy"},
  }.items():
    record = evaluate_runs([tmp_path / "whole"], dataset, name)
    row = record["rows"][0]
    assert columns <= row["values"].keys()
    assert all(np.isfinite(value) for value in row["values"].values())
    assert record["main"] in row["ci"]


@pytest.mark.slow
def test_a_causal_sum_goes_on_bit_for_bit_and_each_has_its_own_head(
    dataset_path, tmp_path
):
  make = lambda **more: tiny_config(
      dataset_path,
      objective="next_events+future_events",
      total_steps=3,
      model__num_layers=1,
      objective__future_events__horizon=3.0,
      **more,
  )
  last = train_whole_and_in_parts(make, tmp_path)[-1]
  assert last["loss"] == pytest.approx(
      last["next_events/loss"] + last["future_events/loss"], rel=1e-5
  )
  assert last["future_events/positions"] > 0
  run = load_run(tmp_path / "whole")
  heads = run.params["head"], run.params["token_heads"]["future_events"]
  assert heads[0].keys() == heads[1].keys()
  assert not np.array_equal(heads[0]["bias"], heads[1]["bias"])
  dataset = open_dataset(dataset_path)
  record = evaluate_runs([tmp_path / "whole"], dataset, "test_future_events")
  assert record["settings"]["horizon"] == 3.0
  assert [row["kind"] for row in record["rows"]] == ["model"] + 2 * ["baseline"]
  assert record["rows"][0]["difference"]["p"] <= 1


@pytest.mark.slow
def test_all_objectives_of_both_sides_fit_in_one_model(dataset_path):
  config = tiny_config(
      dataset_path, objective=ALL, tokenizer__sessions="2"
  )
  recipe = Pretrain(config)
  params = split_model(
      nnx.eval_shape(lambda: recipe.make_model(rngs=nnx.Rngs(0)))
  )[1]
  assert set(params["scores"]) == {"replaced_events", "sentence_order"}
  kinds = {one.evaluator for one in config.evals.values()}
  assert kinds == {*ALL.split("+"), "masked_events"}


@pytest.mark.slow
def test_a_run_with_history_tokens_goes_on_and_embeds_by_them(
    dataset_path, tmp_path
):
  make = lambda **more: tiny_config(
      dataset_path,
      objective="next_events",
      objective__history_rate=0.5,
      total_steps=3,
      **more,
  )
  train_whole_and_in_parts(make, tmp_path)
  embedder = Embedder.load(tmp_path / "whole")
  short = [("e1", "1"), ("e2", "2")]
  vectors = embedder.encode([short, 40 * short], pooling="history")
  # By hand, of the first sequence.
  batch = embedder.inputs([short])
  tokens = np.append(batch["tokens"][0, :3], schema.MASK_ID)[None]
  by_hand = {
      "tokens": tokens,
      "time_gaps": np.full((1, 4), -1),
      "segment_ids": np.ones((1, 4)),
      "positions": np.arange(4)[None],
  }
  by_hand = {
      name: by_hand[name].astype(np.int32)
      for name in embedder.run.model_fields
  }
  hidden = embedder.run.model.encoder.encode(by_hand)
  np.testing.assert_allclose(vectors[0], hidden[0, 3], atol=1e-5)
  assert np.isfinite(vectors).all()


@pytest.mark.parametrize(
    ("objective", "slip", "message"),
    [
        (
            "masked_events+next_events",
            {},
            "masked_events reads both sides .* next_events its past alone",
        ),
        ("masked_events+gpt", {}, "is 'gpt'; known are"),
        (
            "masked_events+future_events",
            {},
            "masked_events reads both sides .* future_events its past alone",
        ),
        ("future_events", {"model__causal": False}, "causal is False"),
        ("future_events", {"data__gap_kind": "next"}, "gap_kind=next"),
        ("future_events", {"objective__horizon": 0.0}, "horizon is 0"),
        (
            "masked_events",
            {"objective__name": "masked_events+contrastive"},
            "no section config.objective.masked_events",
        ),
        (
            "masked_events+contrastive",
            {"objective__contrastive__weight": -1.0},
            "contrastive.weight is -1",
        ),
        ("sentence_order", {}, "each sequence is one session"),
        (
            "contrastive",
            {"data__features": "hour"},
            "the features hour may tell which parts",
        ),
        (
            "next_events",
            {"model": "longformer", "objective__history_rate": 0.5},
            "dense attention, but model.name is longformer",
        ),
        (
            "next_events",
            {
                "tokenizer__sessions": "2",
                "model__session_layers": 1,
                "model__sentence_layers": 1,
                "objective__history_rate": 0.5,
            },
            "history_rate with model.sentence_layers",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_objectives_that_do_not_fit_make_no_folder(
    dataset_path, tmp_path, objective, slip, message
):
  config = tiny_config(dataset_path, objective=objective, **slip)
  with pytest.raises(UserError, match=message):
    train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()
