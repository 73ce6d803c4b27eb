"""Scores a table of users and candidates."""

from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.data.samples import cells
from behavior_lm.data.samples.sample_columns import ROW
from behavior_lm.recipes.ranking_run import load_ranking_run
from behavior_lm.recipes.ranking_run import score_rows
from behavior_lm.recipes.shared import request_data


def rank_table(
    run: str | Path,
    requests: str | Path,
    out: str | Path,
    *,
    best: bool = True,
) -> dict[str, int]:
  """Writes the probabilities of all heads, and the rank inside each request.

  The last actions come from where the run's config says: the rows of its
  tables, or its dataset, strictly before each request.

  Args:
    run: folder of configs/ranking.py.
    requests: table with the columns of the run; those of heads may be absent.
    out: Parquet file: the columns of `requests`, one per head `p/HEAD`, `score`
      (their sum), and `rank` inside the request, 1 is best.
    best: the best checkpoint, if there is one.

  Returns:
    {"rows", "requests", "set_aside"}.

  Raises:
    UserError: if the table cannot be read, or columns are missing.
  """
  loaded = load_ranking_run(run, best=best)
  source, config = Path(requests), loaded.config
  raw = cells.read_file(source) if not config.data.header else None
  labelled = raw is None or set(loaded.heads) <= set(raw.columns)
  table = request_data.read_requests(config, source, labelled=labelled)
  tables = request_data.read_tables(config) if config.data.actions else {}
  events = request_data.read_events(config, tables)
  actions = request_data.make_actions(config, loaded.space, events)
  rows = request_data.encode_rows(
      config,
      table,
      loaded.space,
      actions,
      request_data.read_vectors(config),
  )
  scores = score_rows(loaded, rows)
  total = scores.sum(1)
  found = pl.DataFrame(
      {ROW: table.frame[ROW]}
      | {f"p/{head}": scores[:, n] for n, head in enumerate(loaded.heads)}
      | {"score": total, "request": rows.requests}
  ).with_columns(
      pl.col("score")
      .rank("ordinal", descending=True)
      .over("request")
      .cast(pl.Int32)
      .alias("rank")
  )
  if raw is not None:
    given = raw.with_row_index(ROW, offset=1).cast({ROW: pl.Int64})
    found = given.join(found, on=ROW, how="inner", maintain_order="left")
  path = Path(out)
  if path.suffix != ".parquet":
    raise UserError(f"{path}: scores are written as Parquet; end it .parquet.")
  path.parent.mkdir(parents=True, exist_ok=True)
  with whole_file(path) as temporary:
    found.drop(ROW).write_parquet(temporary)
  return {
      "rows": found.height,
      "requests": len(np.unique(rows.requests)),
      "set_aside": table.summary["rows"] - len(table),
  }
