import pytest

from tests import command_server
from tests.reporting import example_run


def report(*args):
  env = command_server.environment(MPLBACKEND="module://no.such.backend")
  return command_server.run("experiments/report.py", *args, env=env)


@pytest.mark.slow
def test_a_run_becomes_a_page_beside_its_figures(tmp_path):
  run = example_run.write_run(tmp_path / "gate")
  done = report("--run", run, "--labels", tmp_path / "labels.csv")
  assert done.returncode == 0, done.stderr
  page = run / "report" / "index.html"
  assert f"report: {page}" in done.stdout
  html = page.read_text()
  assert "Map by bot" in html and "Map by churn" in html
  assert "report.py --run gate --labels labels.csv" in html
  assert len(list((run / "report").glob("*.png"))) == html.count("<img ")


@pytest.mark.slow
def test_the_file_and_the_folder_can_be_chosen(tmp_path):
  run = example_run.write_bare_run(tmp_path / "new")
  example_run.write_embeddings(tmp_path / "other.parquet", num_users=9)
  done = report(
      "--run", run, "--embeddings", tmp_path / "other.parquet",
      "--out", tmp_path / "page",
  )
  assert done.returncode == 0, done.stderr
  html = (tmp_path / "page" / "index.html").read_text()
  assert "other.parquet" in html
  assert str(tmp_path) not in html
  assert not (run / "report").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "--run is missing"),
        (["--run", "{tmp}/nothing"], "no such folder"),
        (["--run", "{tmp}/new", "--labels", "x.csv"], "no embeddings"),
        (["--run", "{tmp}/new", "--embeddings", "x.parquet"], "no such file"),
        (["--run", "{tmp}/new", "--out", "{tmp}"], "holds files that are no"),
        (["--run", "{tmp}/new", "more"], "unexpected argument 'more'"),
    ],
)
def test_bad_usage_ends_with_one_line(tmp_path, args, said):
  example_run.write_bare_run(tmp_path / "new")
  done = report(*[arg.replace("{tmp}", str(tmp_path)) for arg in args])
  assert done.returncode == 2
  assert said in done.stderr
  assert "Traceback" not in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_labels_of_another_log_are_an_error(tmp_path):
  run = example_run.write_run(tmp_path / "gate")
  (tmp_path / "labels.csv").write_text("user_id,bot\nnobody,1\n")
  done = report("--run", run, "--labels", tmp_path / "labels.csv")
  assert done.returncode == 2
  assert "labels.csv" in done.stderr
  assert not (run / "report").exists()
