"""The command: its words, and a small run of each."""

import functools
import json

import pytest

from tests.experiments import command

run = functools.partial(command.run, "benchmark")


@pytest.mark.slow
def test_ingestion_is_measured_and_planned_from_the_results(tmp_path):
  out = tmp_path / "ingest.json"
  flags = ["ingest", "--sizes=20000,60000", "--workers=1", "--peers="]
  status, text, error = run(*flags, f"--out={out}", f"--workdir={tmp_path}")
  assert status == 0, error
  assert "behavior_lm, csv, 60,000 events: " in text
  result = json.loads(out.read_text())
  assert result["command"].startswith("python experiments/benchmark.py ingest")
  hashes = {}
  for row in result["rows"]:
    hashes.setdefault(row["events"], set()).add(row["examples_hash"])
    assert row["spill_bytes"] >= 20 * row["events"]
  assert [len(found) for found in hashes.values()] == [1, 1]
  assert "| behavior_lm, parquet | 20,000 |" in (
      tmp_path / "ingest.md"
  ).read_text()
  assert sorted(path.name for path in tmp_path.iterdir()) == [
      "ingest.json", "ingest.md", "ingest.png",
  ]  # fmt: skip
  status, text, _ = run("ingest", "--plan", f"--out={out}")
  assert status == 0
  assert text.startswith("| a log of 1 TB | parquet | csv |")


@pytest.mark.slow
def test_encoders_are_measured_one_by_one_into_one_page(tmp_path):
  out = tmp_path / "train.json"
  for model in ("bert", "longformer"):
    flags = [f"--models={model}", "--dtypes=float32", "--repeats=1"]
    flags.append("--heads=masked")
    status, text, error = run(
        "train", *flags, "--runlocal", "--peers=", f"--out={out}"
    )
    assert status == 0, error
    assert text.startswith(f"{model} train float32, 2 x 128: head on masked")
  rows = json.loads(out.read_text())["rows"]
  assert [row["case"]["model"] for row in rows] == ["bert", "longformer"]
  assert rows[0]["command"].startswith("python experiments/benchmark.py train")
  page = out.with_suffix(".md").read_text()
  assert "| bert, 2 x 128 | float32 |" in page
  assert "| longformer, 2 x 128 | float32 |" in page


@pytest.mark.slow
def test_the_latency_of_vectors_is_measured(tmp_path):
  out = tmp_path / "serve.json"
  flags = ["--runlocal", "--peers=", "--repeats=2", "--lengths=16"]
  status, text, error = run("serve", *flags, f"--out={out}")
  assert status == 0, error
  assert text.startswith("bert float32, 1 x 16: p50 ")
  one, eight = json.loads(out.read_text())["rows"]
  assert (one["case"]["batch_size"], eight["case"]["batch_size"]) == (1, 8)
  assert one["cold_seconds"]["ours"] > one["p99_ms"]["ours"] / 1e3
  assert one["p99_ms"]["ours"] >= one["p50_ms"]["ours"] > 0
  assert "| bert, 8 x 16 | float32 |" in out.with_suffix(".md").read_text()


@pytest.mark.slow
def test_lengths_are_measured_and_drawn(tmp_path):
  out = tmp_path / "lengths.json"
  status, text, error = run(
      "lengths",
      "--models=longformer",
      "--lengths=64,128",
      "--runlocal",
      "--repeats=1",
      f"--out={out}",
  )
  assert status == 0, error
  assert "longformer, 64 x 64: " in text
  assert "| tokens/s | 64 | 128 |" in out.with_suffix(".md").read_text()
  assert out.with_suffix(".png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["ingest", "--plan", "--out=/nowhere.json"], "/nowhere.json: no such"),
        (["ingest", "--peers_python=/no/python"], "--peers_python /no/python"),
        (["ingest", "step"], "unexpected argument 'step'"),
        (["train", "--models=gpt", "--peers="], "model 'gpt'; known are bert"),
        (["lengths", "--lengths=1k"], "--lengths=1k: whole numbers from 1"),
        (["lengths", "--lengths=0"], "--lengths=0: whole numbers from 1"),
        (["forward", "--keep_states"], "--keep_states means nothing to forwa"),
        (["train", "--models=bert,gpt", "--peers="], "model 'gpt'; known are"),
        (["train", "--peers=", "--out=a.md"], "--out a.md: must end in .json"),
        (["forward", "--heads=", "--peers="], "heads []; known are masked"),
        (["lengths", "--repeats=0"], "--repeats 0 must be 1 or more."),
        (["train", "--peers_python=/no/python"], "--peers_python /no/python"),
        (["--repeats=0"], "--repeats 0 must be 1 or more."),
    ],
)
def test_bad_usage_ends_with_one_line(args, message):
  status, text, error = run(*args)
  assert (status, text) == (2, "")
  assert error.startswith(f"error: {message}") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("word", "flag"),
    [
        ("lengths", "dtypes=float32"),
        ("train", "config.seed=1"),
        ("step", "models=bert"),
    ],
)
def test_a_flag_of_another_word_is_refused(word, flag):
  status, text, error = run(word, f"--{flag}")
  assert status == 1 and text == ""
  assert f"Unknown command line flag '{flag.partition('=')[0]}'" in error


def test_rows_of_another_machine_are_not_joined(tmp_path):
  out = tmp_path / "train.json"
  machine = {"cores": 999, "kind": "abacus"}
  out.write_text(json.dumps({"machine": machine, "rows": []}))
  status, _, error = run("train", "--runlocal", "--peers=", f"--out={out}")
  assert status == 2 and "holds rows of another machine" in error
