"""Sections about what the model can do: evaluation and probe."""

from collections.abc import Callable
import math

from behavior_lm.reporting import comparisons
from behavior_lm.reporting import markup
from behavior_lm.reporting.markup import fixed
from behavior_lm.reporting.markup import join
from behavior_lm.reporting.markup import Markup
from behavior_lm.reporting.markup import paragraph
from behavior_lm.reporting.records import Difference
from behavior_lm.reporting.records import Evaluation
from behavior_lm.reporting.records import EvaluationRow
from behavior_lm.reporting.records import Probe
from behavior_lm.reporting.records import ProbeRow
from behavior_lm.reporting.section import figure_grid
from behavior_lm.reporting.section import Section


def evaluation_section(
    evaluation: Evaluation | None, run_name: str, config_hash: str
) -> Section:
  """The table of models and baselines."""
  if evaluation is None:
    missing = markup.to_get_it(
        "No evaluation yet. To score this run on its held-out days, beside"
        " baselines that only count:",
        f"python experiments/evaluate.py --runs runs/{run_name} --data DATA",
    )
    return Section("evaluation", "Evaluation", missing, [])
  figure = comparisons.bits_figure(evaluation)
  other = None
  if evaluation.config_hash not in (None, config_hash):
    other = markup.notice(
        "This table was made for another config:"
        f" {evaluation.config_hash}, not {config_hash}. Evaluate again."
    )
  body = join(
      paragraph(
          f"Masked events of {evaluation.data}, split {evaluation.split}:"
          f" {evaluation.num_masked:,} events"
          f" ({markup.percent(evaluation.mask_rate, 0)}) were hidden, the same"
          " for every line, and each line predicts them from what is left.",
      ),
      other,
      _evaluation_table(evaluation),
      paragraph(
          markup.tag("strong", "Bits per event"),
          " is the number to compare: it charges for what a capped vocabulary"
          " cannot say, so models with different tokenizers may stand in one"
          " table. Perplexity and accuracy count tokens. The difference is to"
          " the fair baseline with the fewest bits, on the same events; below"
          " zero is better. Where the 95 % interval (over users) holds zero,"
          " neither is shown to be better. Bold is the best fair value of a"
          " column.",
          class_="note",
      ),
      figure_grid([figure], wide=True),
  )
  return Section("evaluation", "Evaluation", body, [figure])


def _evaluation_table(evaluation: Evaluation) -> Markup:
  rows = sorted(evaluation.rows, key=lambda row: _last_if_nan(row.bits))
  fair = [row for row in rows if row.is_fair]
  perplexity = _best([row.perplexity for row in fair], min)
  accuracy = _best([row.accuracy for row in fair], max)
  bits = _best([row.bits for row in fair], min)

  def mark(row: EvaluationRow, text: str, is_best: bool) -> Markup:
    return _bold(text, row.is_fair and is_best)

  cells: list[list[object]] = [
      [
          _model_name(row),
          join(
              mark(row, fixed(row.bits, 3), row.bits == bits),
              _small(markup.interval(row.interval, 3)),
          ),
          _difference(row.difference),
          markup.probability(row.difference.p if row.difference else None),
          _verdict(row.difference),
          mark(row, fixed(row.perplexity, 2), row.perplexity == perplexity),
          mark(row, markup.percent(row.accuracy, 2), row.accuracy == accuracy),
      ]
      for row in rows
  ]
  return markup.table(
      [
          "model", "bits per event", "difference to best baseline", "p",
          "verdict", "perplexity", "accuracy",
      ],
      cells,
      row_classes=["baseline" if row.is_baseline else "" for row in rows],
  )


def _model_name(row: EvaluationRow) -> Markup:
  kind = None if row.seed is None else f"seed {row.seed}"
  if row.is_baseline:
    kind = "baseline"
    if not row.is_fair:
      kind += " that sees masked neighbours: no fair rival"
  return join(row.model, _small(kind))


def _difference(difference: Difference | None) -> Markup:
  if difference is None:
    return markup.escape("–")
  return join(
      markup.signed(difference.bits, 3),
      _small(
          markup.signed_interval((difference.low, difference.high), 3)
      ),
      _small(difference.baseline and f"to {difference.baseline}"),
  )


def _verdict(difference: Difference | None) -> Markup:
  if difference is None:
    return markup.escape("–")
  if difference.high < 0:
    return markup.tag("span", "▲ better", class_="better")
  if difference.low > 0:
    return markup.tag("span", "▼ worse", class_="worse")
  return markup.tag("span", "= no clear difference")


def probe_section(probe: Probe | None, run_name: str) -> Section:
  """The table of labels and features."""
  if probe is None:
    run = f"runs/{run_name}"
    missing = markup.to_get_it(
        "No probe yet. To see what the vectors tell about a label, beside"
        " plain event counts:",
        f"python experiments/embed.py --run {run} --data DATA --unit user"
        f" --out {run}/embeddings/users.parquet",
        f"python experiments/probe.py --embeddings"
        f" {run}/embeddings/users.parquet --data DATA --labels labels.csv"
        f" --out {run}/probe.json",
    )
    return Section("probe", "Probe", missing, [])
  figure = comparisons.probe_figure(probe)
  users = (
      "" if probe.num_users is None else f" of {probe.num_users:,} users"
  )
  body = join(
      paragraph(
          "A plain classifier (logistic regression unless another is named)"
          f" predicts each label from fixed features{users}. The model that"
          " made the vectors never saw a label. A user is either learnt from"
          " or tested, never both.",
      ),
      _probe_table(probe),
      paragraph(
          markup.tag("strong", "AUC"),
          " is the chance that a user with the label scores higher than one"
          " without. p compares with event counts alone. The ceiling is what"
          " the hidden truth itself reaches where labels are known to be noisy"
          " (made-up logs only). The best features of each label are bold.",
          class_="note",
      ),
      figure_grid([figure], wide=True),
  )
  return Section("probe", "Probe", body, [figure])


def _probe_table(probe: Probe) -> Markup:
  labels = list(dict.fromkeys(row.label for row in probe.rows))
  cells: list[list[object]] = []
  for label in labels:
    rows = [row for row in probe.rows if row.label == label]
    auc = _best([row.auc for row in rows], max)
    f1 = _best([row.f1 for row in rows if row.f1 is not None], max)
    for row in sorted(rows, key=lambda row: -row.auc):
      cells.append([
          row.label,
          row.features,
          join(
              _bold(fixed(row.auc, 3), row.auc == auc),
              _small(markup.interval(row.interval, 3)),
          ),
          _bold(fixed(row.f1, 3), row.f1 is not None and row.f1 == f1),
          markup.probability(row.p),
          fixed(probe.ceilings.get(label), 3),
          _folds(row),
      ])
  return markup.table(
      [
          "label", "features", "AUC", "F1", "p against event counts",
          "AUC ceiling", "folds × seeds",
      ],
      cells,
      text_columns=2,
  )


def _folds(row: ProbeRow) -> str:
  return f"{markup.count(row.folds)} × {markup.count(row.num_seeds)}"


def _best(
    values: list[float], choose: Callable[[list[float]], float]
) -> float | None:
  finite = [value for value in values if math.isfinite(value)]
  return choose(finite) if finite else None


def _last_if_nan(value: float) -> float:
  return math.inf if math.isnan(value) else value


def _bold(text: str, is_best: bool) -> Markup:
  return markup.tag("strong", text) if is_best else markup.escape(text)


def _small(text: str | None) -> Markup | None:
  return markup.tag("small", text) if text else None
