import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.downstream.finetune import evaluate
from behavior_lm.downstream.finetune import FineTuned
from behavior_lm.downstream.finetune import fit
from behavior_lm.downstream.folds import all_predictions
from behavior_lm.downstream.folds import run_folds
from tests.finetuning import finetune_config
from tests.finetuning import labels_file
from tests.finetuning import pretrained
from tests.tiny import tiny_events

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(dataset_path, tmp_path_factory):
  folder = tmp_path_factory.mktemp("finetune")
  return pretrained(dataset_path, folder / "run"), labels_file(folder)


def test_a_table_of_logs_and_one_of_labels_give_predictions(source, tmp_path):
  run, labels = source
  config = finetune_config(
      run, labels, "lora", keep_best__metric="", adapt__lora_dropout=0.0
  )
  logs = tiny_events()
  table = pl.read_csv(labels)
  model = fit(config, logs, table, tmp_path / "bot")
  found = model.predict(logs)
  assert found["user_id"].to_list() == table["user_id"].to_list()
  assert found["bot"].is_between(0, 1).all()
  # Alone, in another order, or from the folder: it is the same.
  again = FineTuned.load(tmp_path / "bot")
  # Ties in time keep their order, so users change places as a whole.
  of_user = lambda name: logs.filter(pl.col("user_id") == name)
  alone = again.predict(pl.concat([of_user("user4"), of_user("user2")]))
  both = alone.join(found, on="user_id")
  assert len(both) == 2
  np.testing.assert_allclose(both["bot"], both["bot_right"], atol=1e-5)
  # What was measured on the packed test rows is what is predicted here; LoRA
  # is merged here and not there.
  figures, tested = evaluate(tmp_path / "bot")
  assert figures["test"]["rows"] == len(tested)
  both = tested.join(found.rename({"bot": "said"}), on="user_id")
  np.testing.assert_allclose(both["bot/predicted"], both["said"], atol=1e-5)
  with pytest.raises(UserError, match="another table"):
    fit(config, logs.head(500), table, tmp_path / "bot")


def test_folds_are_run_once_and_make_a_table(source, tmp_path):
  run, labels = source
  config = finetune_config(
      run, labels, "probe", split__valid_share=0.4, keep_best__metric=""
  )
  lines = []
  result = run_folds(config, tmp_path / "out", num_folds=2, say=lines.append)
  assert len(lines) == len(result["runs"]) == 2
  assert "| rows |" in (tmp_path / "out" / "result.md").read_text()
  found = all_predictions(tmp_path / "out")
  assert sorted(found["user_id"]) == [f"user{i}" for i in range(6)]
  before = (tmp_path / "out" / "fold0_seed0" / "run.json").stat().st_mtime_ns
  again = run_folds(config, tmp_path / "out", num_folds=2, say=lines.append)
  assert again["summary"]["rows"] == result["summary"]["rows"]
  after = (tmp_path / "out" / "fold0_seed0" / "run.json").stat().st_mtime_ns
  assert after == before
