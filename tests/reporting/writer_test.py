"""Tests for the whole page and its folder."""

import json
import re
import xml.etree.ElementTree as ElementTree

import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.reporting.run import read_run
from behavior_lm.reporting.vectors import read_vectors
from behavior_lm.reporting.writer import make_report
from behavior_lm.reporting.writer import PAGE
from behavior_lm.reporting.writer import write_report
from tests.artifacts import example_records
from tests.reporting import example_run
from tests.reporting.markup_test import read

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow

EVIL = "<script>alert(1)</script>"


def report(folder, labels=None):
  run = read_run(folder)
  return make_report(
      run,
      config_hash=example_records.HASH,
      command="python experiments/report.py",
      vectors=read_vectors(run.embeddings[0]) if run.embeddings else None,
      labels=labels,
  )


def label_table(users, name="bot"):
  values = [int(n % 3 == 0) for n in range(len(users))]
  return pl.DataFrame({"user_id": users, name: values})


@pytest.fixture(scope="module")
def full(tmp_path_factory):
  """A page of a run that has everything, its figures and users."""
  folder = example_run.write_run(tmp_path_factory.mktemp("runs") / "gate")
  users = read_vectors(folder / "embeddings/days.parquet").all_users
  return *report(folder, label_table(users)), users


def test_the_page_needs_no_other_file(full):
  html = full[0]
  assert not re.findall(r'(?:src|href)="(?!#|data:image/png)', html)
  assert "default-src 'none'" in html
  for text in ("@import", "url(", "<script"):
    assert text not in html


def test_the_page_is_well_formed_and_its_links_lead_somewhere(full):
  html = full[0]
  as_xml = re.sub(r"<((?:meta|img)[^>]*)>", r"<\1/>", html.partition("\n")[2])
  assert ElementTree.fromstring(as_xml).tag == "html"
  ids = [value for name, value in read(html).attributes if name == "id"]
  assert len(set(ids)) == len(ids)
  assert set(re.findall(r'href="#([^"]+)"', html)) == set(ids)


def test_every_figure_is_on_the_page_under_a_name_of_its_own(full):
  html, figures, _ = full
  assert html.count("<img ") == len(figures)
  assert len({figure.name for figure in figures}) == len(figures)
  for figure in figures:
    assert figure.caption in read(html).text


def test_neither_user_ids_nor_folders_are_on_the_page(full):
  html, _, users = full
  assert len(users) == 60
  assert not [user for user in users if user in html]
  assert "/home" not in html


def test_the_same_inputs_give_the_same_bytes(full, tmp_path):
  html, figures, users = full
  other = example_run.write_run(tmp_path / "elsewhere" / "gate")
  again, more = report(other, label_table(users))
  assert again == html
  assert [f.png for f in more] == [f.png for f in figures]


def test_a_run_just_begun_has_a_page_that_says_what_to_do(tmp_path):
  html, figures = report(example_run.write_bare_run(tmp_path / "new"))
  assert figures == []
  for command in ("evaluate", "embed", "probe", "prepare"):
    assert f"python experiments/{command}.py" in html


def test_hostile_texts_stay_texts(tmp_path):
  folder = example_run.write_run(tmp_path / EVIL.replace("/", "\\"))
  change = example_records.changed
  data = change(example_run.DATA_REPORT, "top_events/0/event_id", EVIL)
  data = change(data, "rejected/by_reason", {EVIL: 3})
  data["splits"][EVIL] = data["splits"].pop("test")
  for name, content in {
      f"evaluations/{EVIL.replace('/', '')}": change(
          example_records.EVALUATION, "rows/0/model", EVIL
      ),
      "probe": change(example_records.PROBE, "rows/0/label", EVIL),
      "data_report": change(data, "sources/0/name", EVIL),
      "config": example_run.CONFIG | {EVIL: EVIL},
      "run": example_run.RUN | {"command": EVIL},
  }.items():
    example_run.write_json(folder / f"{name}.json", content)
  users = example_run.write_embeddings(
      folder / "embeddings" / "days.parquet", prefix=EVIL
  )
  html, figures = report(folder, label_table(users, EVIL))
  page = read(html)
  assert "script" not in page.tags
  assert page.text.count(EVIL) > 8
  assert EVIL + "0000" not in page.text
  for figure in figures:
    assert re.fullmatch(r"[A-Za-z0-9_]+", figure.name)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("data_report", "gaps/histogram", [{"count": 1}]),
        ("data_report", "sessions/learned", {"weights": [1, 2]}),
        ("tokenizer/tokenizer", "kind", {}),
        ("tokenizer/tokenizer", "pairs", 3),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, path, value):
  folder = example_run.write_run(tmp_path / "gate")
  file = folder / f"{name}.json"
  content = example_records.changed(json.loads(file.read_text()), path, value)
  content.pop("fingerprint", None)
  example_run.write_json(file, content)
  with pytest.raises(UserError, match=f"{name}.json"):
    report(folder)


def test_a_report_is_replaced_whole(full, tmp_path):
  html, figures, _ = full
  out = tmp_path / "run" / "report"
  assert write_report(out, html, figures) == out / PAGE
  assert (out / PAGE).read_text() == html
  names = {path.name for path in out.iterdir()}
  assert names == {PAGE} | {f"{figure.name}.png" for figure in figures}
  write_report(out, html, figures[:2])
  assert len(list(out.iterdir())) == 3
  with pytest.raises(UnicodeEncodeError):
    write_report(out, "\ud800", figures)
  assert (out / PAGE).read_text() == html
  assert [path.name for path in out.parent.iterdir()] == ["report"]


@pytest.mark.parametrize("name", ["notes.txt", PAGE])
def test_files_of_others_are_never_replaced(full, tmp_path, name):
  (tmp_path / name).write_text("mine")
  with pytest.raises(UserError, match="holds files that are no report"):
    write_report(tmp_path, *full[:2])
  assert (tmp_path / name).read_text() == "mine"
  write_report(tmp_path / "report", *full[:2])
  (tmp_path / "report" / "notes.md").write_text("mine")
  with pytest.raises(UserError, match="holds files that are no report"):
    write_report(tmp_path / "report", *full[:2])
