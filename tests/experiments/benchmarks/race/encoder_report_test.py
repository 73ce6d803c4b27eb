from experiments.benchmarks.race import encoder_report
from experiments.benchmarks.race.encoder_cases import make_case


def row(model="bert", speed=200.0, theirs=True, **settings):
  sides = ["ours_masked", "ours_all"] + ["theirs"] * theirs
  made = {
      "command": "python experiments/benchmark.py train",
      "case": make_case(model, **settings),
      "repeats": 5,
      "tokens_per_second": dict.fromkeys(sides, speed),
      "quartiles": dict.fromkeys(sides, [speed - 1, speed + 1]),
      "gemm_gflops": {"ours": 300.0},
      "share": dict.fromkeys(sides, 0.25),
      "flops": {"masked": 1e9, "all": 2e9, "theirs": 3e9},
      "num_params": {"ours": 1256},
      "versions": {"ours": {"jax": "1.2"}},
      "xla_flags": "",
  }
  if theirs:
    made["num_params"]["theirs"] = 1000
    made["gemm_gflops"]["theirs"] = 310.0
    made["ratio"] = dict.fromkeys(sides[:2], 1.5)
    made["ratio_quartiles"] = dict.fromkeys(sides[:2], [1.4, 1.6])
  return made


def page(*rows, mode="train"):
  machine = {"cores": 2, "kind": "x86_64"}
  return encoder_report.to_markdown(
      {"mode": mode, "machine": machine, "rows": rows}
  )


def test_a_case_measured_again_takes_its_old_place():
  old = [row(), row("albert"), row(dtype="bfloat16")]
  new = [row("albert", speed=300.0), row(length=64)]
  merged = encoder_report.merge(old, new)
  assert merged == [old[0], new[0], old[2], new[1]]


def test_rows_of_other_sizes_or_heads_do_not_replace_each_other():
  old = [row(), row(tiny=True), row(heads=["masked"])]
  assert encoder_report.merge(old, [row(tiny=True)]) == old


def test_measured_with_and_without_the_other_side_are_two_rows():
  compared = row() | {"versions": {"ours": {}, "theirs": {"torch": "2"}}}
  assert encoder_report.merge([compared], [row()]) == [compared, row()]


def test_reformer_that_keeps_its_states_has_a_row_of_its_own():
  rows = [row("reformer"), row("reformer", keep_states=True)]
  assert encoder_report.merge(rows[:1], rows[1:]) == rows
  assert "| reformer (states kept), 1 x 4,096 | float32 |" in page(*rows)


def test_the_page_tells_at_which_commits_a_command_ran():
  text = page(row() | {"commit": "abc"}, row("albert") | {"commit": "def+"})
  assert "    python experiments/benchmark.py train  # at abc, def+\n" in text


def test_the_page_tells_what_theirs_does_at_masked_positions():
  made = row("modern")
  made["tokens_per_second"]["theirs_masked"] = 250.0
  assert "| 200 (199 to 201); masked 250 |" in page(made)
  told = "Theirs predicts at masked positions too where it can"
  assert told in page(made) and told not in page(row("bert"))


def test_what_is_only_so_in_training_is_told_there_alone():
  told = "theirs computes it again"
  assert told in page(row("reformer"))
  forward = page(row("reformer"), mode="forward")
  assert told not in forward and "of twice the width" in forward


def test_the_page_tells_how_the_peak_varied():
  made = row() | {"gemm_quartiles": {"ours": [290, 305], "theirs": [300, 312]}}
  assert "| 300 (290 to 305) | 310 (300 to 312) | 1.0 | 2.0 | 3.0 |" in (
      page(made)
  )


def test_the_page_tells_settings_speeds_and_why_parameters_differ():
  text = page(row("modern"), row("albert", dtype="bfloat16"))
  assert "| modern, 1 x 4,096 | float32 | 200 (199 to 201) |" in text
  assert "| albert, 8 x 512 | bfloat16 | 25% | 25% | 25% | 300 | 310 |" in text
  assert "1.50 (1.40 to 1.60)" in text
  assert "| modern | 1,256 | 1,000 | +256 |" in text
  assert "a norm before the first layer's attention" in text
  assert "jax 1.2" in text and "5 turns" in text
  assert text.count("python experiments/benchmark.py train") == 1


def test_rows_of_ours_alone_have_dashes():
  text = page(row(theirs=False))
  assert "| 200 (199 to 201) | - | - | - |" in text
  assert "difference" not in text
