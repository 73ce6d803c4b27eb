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
from tests.reporting import example_run
from tests.reporting.markup_test import read

EVIL = "<script>alert(1)</script>"
PROGRAMS = {"configs/pretrain.py:size=small": example_run.CONFIG}


def report(folder, labels=None):
  run = read_run(folder)
  path = run.embeddings[0] if run.embeddings else None
  return make_report(
      run,
      config_hash="0123456789ab",
      programs=PROGRAMS,
      embeddings=path,
      vectors=read_vectors(path) if path else None,
      labels=labels,
  )


def label_table(users):
  return pl.DataFrame({
      "user_id": users,
      "bot": [int(n % 3 == 0) for n in range(len(users))],
  })


@pytest.fixture(scope="module")
def full(tmp_path_factory):
  """A page of a run that has everything, and its figures."""
  folder = example_run.write_run(tmp_path_factory.mktemp("runs") / "gate")
  users = read_vectors(folder / "embeddings/days.parquet").all_users
  return *report(folder, label_table(users)), users


def test_the_page_needs_no_other_file(full):
  html, _, _ = full
  assert not re.findall(r'(?:src|href)="(?!#)', html)
  assert "@import" not in html
  assert not re.findall(r"url\((?!#)", html)
  assert "default-src 'none'" in html
  assert "<script" not in html


def test_every_link_inside_the_page_has_its_target(full):
  html, _, _ = full
  ids = [value for name, value in read(html).attributes if name == "id"]
  assert len(set(ids)) == len(ids)
  assert set(re.findall(r'href="#([^"]+)"', html)) <= set(ids)


def test_every_section_and_figure_is_there(full):
  html, figures, _ = full
  for anchor in (
      "evaluation", "training", "probe", "map", "data", "model", "reproduce"
  ):
    assert f'<section id="{anchor}">' in html
  assert html.count("<svg") == len(figures) == 13
  for figure in figures:
    assert figure.svg in html
    assert figure.caption.split(",")[0].split("'")[0] in html


def test_every_tag_is_closed(full):
  html, _, _ = full
  as_xml = re.sub(r"<(meta[^>]*)>", r"<\1/>", html.partition("\n")[2])
  assert ElementTree.fromstring(as_xml).tag == "html"


def test_no_user_id_is_on_the_page(full):
  html, figures, users = full
  assert len(users) == 60
  for user in users:
    assert user not in html
  assert not [f.name for f in figures if "player0" in f.name]


def test_no_folder_of_somebody_is_on_the_page(full):
  assert "/home" not in full[0]


def test_the_same_inputs_give_the_same_bytes(full, tmp_path):
  html, figures, users = full
  other = example_run.write_run(tmp_path / "elsewhere" / "gate")
  again, more = report(other, label_table(users))
  assert again == html
  assert [f.png for f in more] == [f.png for f in figures]


def test_a_run_just_begun_has_a_page_that_says_what_to_do(tmp_path):
  html, figures = report(example_run.write_bare_run(tmp_path / "new"))
  assert figures == []
  for command in ("pretrain", "evaluate", "embed", "probe", "prepare"):
    assert f"python experiments/{command}.py" in html


def test_hostile_texts_stay_texts(tmp_path):
  folder = example_run.write_run(tmp_path / EVIL.replace("/", "\\"))
  change = example_run.changed
  evaluation = change(example_run.EVALUATION, "rows/0/model", EVIL)
  example_run.write_json(folder / "evaluation.json", evaluation)
  example_run.write_json(
      folder / "probe.json", change(example_run.PROBE, "rows/0/label", EVIL)
  )
  data = change(example_run.DATA_REPORT, "top_events/0/event_id", EVIL)
  data = change(data, "rejected/by_reason", {EVIL: 3})
  data = change(data, "sources/0/name", EVIL)
  data["splits"][EVIL] = data["splits"].pop("test")
  example_run.write_json(folder / "data_report.json", data)
  example_run.write_json(
      folder / "config.json", example_run.CONFIG | {EVIL: EVIL}
  )
  users = example_run.write_embeddings(
      folder / "embeddings" / "days.parquet", prefix=EVIL
  )
  html, figures = report(folder, label_table(users).rename({"bot": EVIL}))
  page = read(html)
  assert "script" not in page.tags
  assert page.text.count(EVIL) > 8
  assert EVIL + "0000" not in page.text
  for figure in figures:
    assert re.fullmatch(r"[A-Za-z0-9_]+", figure.name)


def test_a_dataset_file_without_its_settings_is_named(tmp_path):
  folder = example_run.write_bare_run(tmp_path / "gate")
  (folder / "dataset.json").write_text(json.dumps({"unit": "user"}))
  with pytest.raises(UserError, match="dataset.json: has no 'sources'"):
    report(folder)


def test_vectors_of_another_run_are_marked(tmp_path):
  folder = example_run.write_run(tmp_path / "gate")
  path = folder / "embeddings" / "days.parquet"
  table = pl.read_parquet(path).head(4)
  settings = json.dumps({"config_hash": "ffffffffffff"})
  table.write_parquet(path, metadata={"behavior_lm": settings})
  assert "too few for a map" in report(folder)[0].replace("\n", " ")
  pl.concat([table, table.with_columns(pl.col("embedding") * 2)]).write_parquet(
      path, metadata={"behavior_lm": settings}
  )
  assert "made with another config: ffffffffffff" in report(folder)[0]


def test_a_report_is_replaced_whole(full, tmp_path):
  html, figures, _ = full
  out = tmp_path / "run" / "report"
  page = write_report(out, html, figures)
  assert page == out / PAGE
  assert page.read_text() == html
  names = {path.name for path in out.iterdir()}
  assert names == {PAGE} | {f"{figure.name}.png" for figure in figures}
  write_report(out, html, figures[:2])
  assert len(list(out.iterdir())) == 3
  assert [path.name for path in out.parent.iterdir()] == ["report"]


@pytest.mark.parametrize("name", ["notes.txt", PAGE])
def test_files_of_others_are_never_replaced(full, tmp_path, name):
  (tmp_path / name).write_text("mine")
  with pytest.raises(UserError, match="holds files that are no report"):
    write_report(tmp_path, *full[:2])
  assert (tmp_path / name).read_text() == "mine"


def test_notes_put_beside_a_report_are_never_lost(full, tmp_path):
  write_report(tmp_path / "report", *full[:2])
  (tmp_path / "report" / "notes.md").write_text("mine")
  with pytest.raises(UserError, match="holds files that are no report"):
    write_report(tmp_path / "report", *full[:2])


def test_a_file_in_the_way_is_named(full, tmp_path):
  (tmp_path / "report").write_text("mine")
  with pytest.raises(UserError, match="is a file"):
    write_report(tmp_path / "report", *full[:2])


def test_a_report_that_fails_leaves_the_old_one(full, tmp_path, capsys):
  html, figures, _ = full
  out = tmp_path / "report"
  write_report(out, html, figures)
  with pytest.raises(UnicodeEncodeError):
    write_report(out, "\ud800", figures)
  assert (out / PAGE).read_text() == html
  assert [path.name for path in tmp_path.iterdir()] == ["report"]
