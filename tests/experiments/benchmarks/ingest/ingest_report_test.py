from experiments.benchmarks.ingest import ingest_report
from tests.experiments.benchmarks.ingest.ingest_speed_test import row


def rows():
  made = []
  for subject in ("behavior_lm", "pandas"):
    for events in (10**6, 10**7):
      made.append(
          row(events, events / 1e6)
          | {"subject": subject, "peak_bytes": 5 * 10**8,
             "events_per_second": 1e6}
      )  # fmt: skip
  made[-1]["disk_bytes"] = 0
  return made


def test_the_page_has_a_row_for_each_run_and_the_growth_of_each_subject():
  page = ingest_report.to_markdown({
      "command": "the command",
      "machine": {"cores": 2, "kind": "x86_64"},
      "rows": rows(),
  })
  assert "    the command\n" in page
  assert (
      "| behavior_lm, csv | 10,000,000 | 500 | 10.0 | 1,000,000 | 20.0 | 500 |"
      " 320 | 120 |"
  ) in page
  assert "| 500 | - | 120 |" in page
  assert "| pandas, csv | 1,000,000 to 10,000,000 | 1.00 |" in page


def test_a_plan_is_a_table_of_hours_and_bytes():
  text = ingest_report.plan_to_markdown(rows()[:2], 1e12, cores=(2, 100))
  lines = text.splitlines()
  assert lines[0] == "| a log of 1 TB | csv |"
  assert "| MB of log a second and core | 25.0 |" in lines
  assert "| hours on 2 cores | 5.6 |" in lines
  assert "| hours on 100 cores | 0.1 |" in lines
  assert "| bytes between reading and sorting | 4.00e+11 |" in lines
