import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.reporting.run import read_run
from tests.reporting.example_run import write_bare_run
from tests.reporting.example_run import write_run


@pytest.fixture
def run_folder(tmp_path):
  return write_run(tmp_path / "gate")


def test_everything_in_the_folder_is_read(run_folder):
  run = read_run(run_folder)
  assert run.name == "gate"
  assert len(run.metrics) == 82
  assert run.evaluation.rows and run.probe.rows
  assert run.data_report.num_events == 4_399_500
  assert run.tokenizer.vocab_size == 9
  assert run.num_parameters == 7_000 * 128 + 128
  assert [path.name for path in run.embeddings] == ["days.parquet"]


def test_a_run_just_begun_has_nothing_but_its_config(tmp_path):
  run = read_run(write_bare_run(tmp_path / "new"))
  assert run.config["model"]["name"] == "bert"
  assert run.metrics is run.evaluation is run.probe is run.dataset is None
  assert run.data_report is run.tokenizer is run.num_parameters is None
  assert run.embeddings == ()


def test_the_number_of_parameters_is_of_the_last_checkpoint(run_folder):
  (run_folder / "checkpoints" / "900").mkdir()
  assert read_run(run_folder).num_parameters == 896_128
  (run_folder / "checkpoints" / "12000").mkdir()
  assert read_run(run_folder).num_parameters is None


def test_a_line_that_is_being_written_is_left_out(run_folder):
  with (run_folder / "metrics.jsonl").open("a") as file:
    file.write('{"step": 4050, "lo')
  assert read_run(run_folder).metrics[-1]["step"] == 4_000


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", "{", "not readable as JSON"),
        ("config.json", "[1]", "holds a JSON list"),
        ("evaluation.json", '{"rows": [', "not readable as JSON"),
        ("evaluation.json", "{}", "has no 'rows'"),
        ("evaluation.json", '{"rows": 3}', "not as this version writes it"),
        ("probe.json", '{"rows": [{"label": "bot"}]}', "has no 'features'"),
        ("data_report.json", '{"rows": 3}', "has no 'rejected'"),
        ("dataset.json", "null", "holds a JSON NoneType"),
        ("metrics.jsonl", '{"step": 1}\nnonsense\n', "line 2: not readable"),
        ("metrics.jsonl", '{"loss": 1}\n', "line 1: has no 'step'"),
        ("metrics.jsonl", '{"step": 1, "loss": "a"}\n', "line 1: not as"),
        ("metrics.jsonl", "3\n", "line 1: not as this version"),
        ("tokenizer/tokenizer.json", "{}", "tokenizer kind None"),
    ],
)
def test_a_damaged_file_is_named(run_folder, name, content, said):
  (run_folder / name).write_text(content)
  with pytest.raises(UserError) as error:
    read_run(run_folder)
  assert str(run_folder / name) in str(error.value)
  assert said in str(error.value)
  assert "\n" not in str(error.value)


def test_binary_junk_is_named(run_folder):
  (run_folder / "metrics.jsonl").write_bytes(b"\x80\xff\x00\n")
  with pytest.raises(UserError, match="metrics.jsonl: cannot be read"):
    read_run(run_folder)


def test_a_folder_that_is_no_run_says_so(tmp_path):
  with pytest.raises(UserError, match="no config.json"):
    read_run(tmp_path)
  with pytest.raises(UserError, match="no such folder"):
    read_run(tmp_path / "nothing")
