"""Tables of runs whose scores are written here, none of them trained."""

import json

import numpy as np
import pytest

from behavior_lm.artifacts.scores import save_scores
from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.baselines.count_baselines import FULL_CONTEXT
from behavior_lm.baselines.count_baselines import SAME_INFORMATION
from behavior_lm.baselines.count_baselines import score_baselines
from behavior_lm.baselines.count_baselines import UNIGRAM
from behavior_lm.baselines.count_baselines import WITH_GAP
from behavior_lm.common.errors import UserError
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.recipes.shared.parts import make_tokenizer
from experiments.studies import timed_runs
from experiments.studies.encoders import encoder_tables
from tests.tiny import tiny_config
from tests.tiny import tiny_dataset

BPE = dict(
    tokenizer__kind="bpe",
    tokenizer__vocab_size=60,
    tokenizer__alphabet_size=40,
    tokenizer__sessions="60",
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  return open_dataset(tiny_dataset(tmp_path_factory.mktemp("data")))


def truth(dataset, config, spans_of=None):
  """What a model is asked for, from the baselines."""
  tokenizer = make_tokenizer(config, dataset)
  scores = score_baselines(
      dataset,
      tokenizer,
      split="test",
      mask_rate=config.evals.test.mask_rate,
      mask_seed=config.evals.test.mask_seed,
      spans_of=spans_of,
  )
  return tokenizer, scores[UNIGRAM]


def write_run(study, name, dataset, nats, spans_of=None, **changes):
  """A finished run of `nats` a token."""
  config = tiny_config(dataset.path, **changes)
  tokenizer, asked = truth(dataset, config)
  run = study / name / "run"
  run.mkdir(parents=True)
  tokenizer.save(run / "tokenizer")
  (run / "config.json").write_text(json.dumps(config.to_dict()))
  (run / "dataset.json").write_text(json.dumps(dataset.meta))
  line = {"step": 4, "loss": 2.0, "seconds": 8.0, "tokens_per_second": 1.0}
  (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
  save = lambda file, of: save_scores(
      study / name / file,
      {
          name: SequenceScores(
              nats * of.count,
              of.correct,
              of.hidden_bits,
              of.count,
              of.num_events,
              of.users,
          )
      },
  )
  save(timed_runs.SCORES, asked)
  if spans_of is not None:
    save("scores_under_spans.npz", truth(dataset, config, spans_of)[1])
  result = {
      "name": name,
      "model": config.model.name,
      "tokens": tokenizer.kind,
      "vocab_size": tokenizer.vocab_size,
      "seed": config.seed,
      "planned": {"minutes": 15.0},
  }
  (study / name / timed_runs.RESULT).write_text(json.dumps(result))
  return tokenizer


def tables(study, dataset, names, siblings=None):
  lines = []
  result = encoder_tables.make_result(
      study,
      timed_runs.finished(study, names),
      dataset,
      siblings or {},
      lines.append,
  )
  return result, lines


def test_runs_stand_beside_the_baselines_and_the_best_run(dataset, tmp_path):
  write_run(tmp_path, "bert", dataset, 1.0)
  write_run(tmp_path, "albert", dataset, 1.5, seed=3)
  result, lines = tables(tmp_path, dataset, ["bert", "modern", "albert"])
  assert lines == ["counting the baselines of pair tokens"]
  (group,) = result["groups"]
  assert [row["model"] for row in group["rows"]] == [
      "bert", "albert", UNIGRAM, SAME_INFORMATION, WITH_GAP, FULL_CONTEXT
  ]
  assert group["best"] == "bert"
  bert, albert = group["rows"][:2]
  assert "difference_to_best" not in bert
  assert albert["difference_to_best"]["value"] == pytest.approx(
      0.5 / np.log(2)
  )
  assert albert["seed"] == 3
  assert albert["difference"]["baseline"] == SAME_INFORMATION
  assert bert["curve"] == [{"step": 4, "minutes": 8 / 60, "loss": 2.0}]
  assert group["num_masked"] == group["num_hidden_events"]
  assert (result["minutes"], result["split"]) == (15.0, "test")
  json.dumps(result)
  # Counted once.
  assert tables(tmp_path, dataset, ["bert", "albert"])[1] == []
  assert encoder_tables.best_runs(result, ["albert", "bert"]) == [
      "bert", "albert"
  ]


@pytest.mark.slow
def test_chains_have_a_table_of_their_own_and_one_of_the_same_events(
    dataset, tmp_path
):
  chains = write_run(tmp_path, "bert_bpe", dataset, 2.0, **BPE)
  write_run(tmp_path, "bert", dataset, 1.0, spans_of=chains)
  result, lines = tables(
      tmp_path, dataset, ["bert", "bert_bpe"], {"bert_bpe": "bert"}
  )
  pair, bpe = result["groups"]
  assert (pair["tokens"], bpe["tokens"]) == ("pair", "bpe")
  assert bpe["num_hidden_events"] > 1.5 * bpe["num_masked"]
  bert, neighbours = result["same_events"]
  assert bert["num_hidden_events"] == bpe["num_hidden_events"]
  # One nat an event, two nats a chain.
  assert bert["bits_per_event_single"] == pytest.approx(1 / np.log(2))
  assert bert["bits_per_event_chains"] == pytest.approx(
      2 * bpe["num_masked"] / bpe["num_hidden_events"] / np.log(2)
  )
  assert bert["difference"]["value"] == pytest.approx(
      bert["bits_per_event_chains"] - bert["bits_per_event_single"]
  )
  assert neighbours["model"] == SAME_INFORMATION
  assert len(lines) == 3


@pytest.mark.parametrize(
    "what", ["minutes", "mask_seed", "fingerprint", "size"]
)
def test_runs_of_different_terms_share_no_table(dataset, tmp_path, what):
  write_run(tmp_path, "bert", dataset, 1.0)
  write_run(tmp_path, "albert", dataset, 1.0)
  file, change = {
      "minutes": ("result.json", lambda c: c["planned"].update(minutes=3)),
      "mask_seed": (
          "run/config.json",
          lambda c: c["evals"]["test"].update(mask_seed=7),
      ),
      "size": ("run/config.json", lambda c: c["model"].update(embed_dim=8)),
      "fingerprint": ("run/dataset.json", lambda c: c.update(fingerprint="x")),
  }[what]
  path = tmp_path / "albert" / file
  content = json.loads(path.read_text())
  change(content)
  path.write_text(json.dumps(content))
  with pytest.raises(UserError, match="albert.*another --workdir"):
    tables(tmp_path, dataset, ["bert", "albert"])


@pytest.mark.slow
def test_baselines_are_counted_anew_for_other_hidden_events(dataset, tmp_path):
  write_run(tmp_path, "bert", dataset, 1.0)
  first, _ = tables(tmp_path, dataset, ["bert"])
  (tmp_path / "bert").rename(tmp_path / "moved")
  write_run(tmp_path, "bert", dataset, 1.0, evals__test__mask_seed=7)
  second, lines = tables(tmp_path, dataset, ["bert"])
  assert lines == ["counting the baselines of pair tokens"]
  bits = lambda result: [
      row["values"]["bits_per_event"] for row in result["groups"][0]["rows"][1:]
  ]
  assert bits(first) != bits(second)


def test_scores_of_other_tokens_are_refused(dataset, tmp_path):
  write_run(tmp_path, "bert", dataset, 1.0)
  config = tiny_config(dataset.path, evals__test__mask_rate=0.3)
  _, asked = truth(dataset, config)
  save_scores(tmp_path / "bert" / timed_runs.SCORES, {"bert": asked})
  with pytest.raises(UserError, match="not scored on the masked tokens"):
    tables(tmp_path, dataset, ["bert"])
