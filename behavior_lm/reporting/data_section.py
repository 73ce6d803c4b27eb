"""The section about the logs: counts, splits, histograms, frequent events."""

from behavior_lm.reporting import distributions
from behavior_lm.reporting import markup
from behavior_lm.reporting.data_record import DataReport
from behavior_lm.reporting.data_record import Split
from behavior_lm.reporting.markup import count
from behavior_lm.reporting.markup import join
from behavior_lm.reporting.markup import Markup
from behavior_lm.reporting.markup import paragraph
from behavior_lm.reporting.markup import percent
from behavior_lm.reporting.section import figure_grid
from behavior_lm.reporting.section import Section
from behavior_lm.reporting.session_part import sessions_part


def data_section(report: DataReport | None) -> Section:
  """What the model was trained and tested on."""
  if report is None:
    missing = markup.to_get_it(
        "This run folder has no data_report.json. Prepare the dataset again and"
        " copy its report here:",
        "python experiments/prepare.py --logs LOGS --out DATA",
        "cp DATA/report.json RUN/data_report.json",
    )
    return Section("data", "Data", missing, [])
  figures = distributions.data_figures(report)
  session_part, session_figures = sessions_part(report.sessions)
  body = join(
      _overview(report),
      markup.tag("h3", "Splits"),
      _splits(report),
      paragraph(
          "Pairs are distinct (event, design) ids. Pairs that train never"
          " showed are what no model of these days can name exactly.",
          class_="note",
      ),
      figure_grid(figures),
      markup.details("Lengths and gaps as numbers", _quantiles(report)),
      session_part,
      markup.tag("h3", "Most frequent events of train"),
      _top_events(report),
      markup.tag("h3", "Rejected rows"),
      _rejected(report),
      markup.details("Log files", _sources(report)),
  )
  return Section("data", "Data", body, figures + session_figures)


def _overview(report: DataReport) -> Markup:
  unit = report.unit.replace("_", "-")
  return markup.definitions([
      ("rows read", f"{report.rows:,}"),
      ("events kept", f"{report.num_events:,}"),
      ("users", f"{report.num_users:,}"),
      ("distinct pairs", f"{report.num_pairs:,}"),
      ("first event", report.start or "–"),
      ("last event", report.end or "–"),
      ("one sequence is", f"a {unit}, days in {report.zone}"),
      ("rejected rows", _of(report.rejected, report.rows)),
      (
          "exact duplicates",
          f"{_of(report.duplicates, report.rows)},"
          f" {report.duplicates_dropped:,} dropped",
      ),
  ])


def _of(part: int, whole: int) -> str:
  if not part:
    return "none"
  return f"{part:,} ({percent(part / max(whole, 1), 2)})"


def _splits(report: DataReport) -> Markup:
  def row(name: str, part: Split) -> list[object]:
    return [
        name,
        count(part.num_sequences),
        count(part.num_events),
        count(part.num_users),
        count(part.num_pairs),
        count(part.pairs_not_in_train),
        percent(part.events_not_in_train_share, 2),
        part.start or "–",
        part.end or "–",
    ]

  return markup.table(
      [
          "split", "sequences", "events", "users", "pairs",
          "pairs not in train", "events not in train", "first event",
          "last event",
      ],
      [row(name, part) for name, part in report.splits.items()],
  )


def _quantiles(report: DataReport) -> Markup:
  columns = {
      f"events a sequence, {name}": part.lengths
      for name, part in report.splits.items()
      if part.lengths.count
  }
  names = list(
      dict.fromkeys(
          name for part in columns.values() for name in part.quantiles
      )
  )
  if report.gaps.count:
    columns["gap in seconds"] = report.gaps
    names = names or list(report.gaps.quantiles)
  rows: list[list[object]] = [
      ["mean", *(f"{part.mean:,.1f}" for part in columns.values())]
  ]
  for name in names:
    rows.append([
        f"{name.removeprefix('p')} % are at most",
        *(
            f"{part.quantiles[name]:,.6g}" if name in part.quantiles else "–"
            for part in columns.values()
        ),
    ])
  rows.append(["largest", *(count(part.largest) for part in columns.values())])
  return markup.table(["", *columns], rows)


def _top_events(report: DataReport) -> Markup:
  if not report.top_events:
    return paragraph("None.")
  largest = max(event.share for event in report.top_events) or 1.0
  rows: list[list[object]] = [
      [
          markup.code(markup.plain(event.event_id, longest=60)),
          _bar(event.share / largest),
          count(event.count),
          percent(event.share, 2),
          count(event.designs),
      ]
      for event in report.top_events
  ]
  return join(
      markup.table(
          ["event", "", "count", "share", "designs"], rows, text_columns=2
      ),
      paragraph(
          "All designs of an event are taken together; designs is how many"
          " different ones it has.",
          class_="note",
      ),
  )


def _bar(share: float) -> Markup:
  width = f"width:{max(100 * min(share, 1.0), 0.5):.1f}%"
  return markup.tag("div", markup.tag("div", style=width), class_="bar")


def _rejected(report: DataReport) -> Markup:
  if not report.rejected:
    return paragraph(f"None of {report.rows:,}.")
  rows: list[list[object]] = [
      [reason, count(number), percent(number / max(report.rows, 1), 3)]
      for reason, number in report.rejected_by_reason.items()
  ]
  return join(
      markup.table(["reason", "rows", "of all rows"], rows),
      paragraph(
          "Each of them is listed, with its file and row, in quarantine.jsonl"
          " of the dataset folder.",
          class_="note",
      ),
  )


def _sources(report: DataReport) -> Markup:
  return markup.table(
      ["file", "times", "rows", "bytes"],
      [
          [source.name, source.times, count(source.rows), count(source.size)]
          for source in report.sources
      ],
      text_columns=2,
  )
