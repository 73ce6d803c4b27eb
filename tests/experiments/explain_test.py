"""The command that shows what carries a prediction."""

import polars as pl
import pytest

from behavior_lm.recipes.train import train
from tests.experiments import command
from tests.finetuning import finetune_config
from tests.finetuning import labels_file
from tests.finetuning import pretrained
from tests.tiny import tiny_config


@pytest.mark.slow
def test_users_get_a_table_and_a_figure_each(dataset_path, tmp_path):
  run = pretrained(dataset_path, tmp_path / "run")
  train(finetune_config(run, labels_file(tmp_path)), tmp_path / "bot")
  shared = (f"--run={tmp_path / 'bot'}", f"--data={dataset_path}", "--steps=2")
  out = tmp_path / "why"
  status, text, error = command.run(
      "explain", *shared, "--users=user3,user1", f"--out={out}"
  )
  assert status == 0, error
  names = ["0_user3.png", "1_user1.png"]
  assert sorted(path.name for path in out.iterdir()) == [
      *names, "events.parquet",
  ]
  assert all(str(out / name) in text for name in names)
  table = pl.read_parquet(out / "events.parquet")
  assert table["user_id"].unique(maintain_order=True).to_list() == [
      "user3", "user1",
  ]
  assert table["attribution"].is_finite().all()
  train(
      tiny_config(dataset_path, objective="next_events", total_steps=2),
      tmp_path / "causal",
  )
  status, _, error = command.run(
      "explain",
      *shared,
      "--users=user3,user1",
      f"--causal_run={tmp_path / 'causal'}",
      f"--out={tmp_path / 'more'}",
  )
  assert status == 0, error
  more = pl.read_parquet(tmp_path / "more" / "events.parquet")
  assert more.drop("surprise").equals(table)
  for part in more.partition_by("user_id"):
    assert part["surprise"][0] is None
    assert part["surprise"][1:].is_finite().all()
  status, _, error = command.run(
      "explain", *shared, "--users=user1", f"--causal_run={run}",
      f"--out={tmp_path / 'none'}",
  )
  assert status == 2 and "needs a causal model" in error
  status, _, error = command.run(
      "explain", *shared, "--users=nobody", f"--out={tmp_path / 'none'}"
  )
  assert status == 2 and "'nobody' has no events" in error


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "--run, --data, --users and --out are needed"),
        (["--run=a", "--data=b", "--users=c", "--out=d", "--steps=0"],
         "--steps 0 must be 1 or more"),
        (["--run=a", "--data=b", "--users=c", "--out=d"], "a"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_one_line(flags, message):
  status, _, error = command.run("explain", *flags)
  assert status == 2
  assert message in error and error.count("\n") == 1
