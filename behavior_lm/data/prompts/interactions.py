"""One table of the interactions of all domains: reviews, ratings, clicks.

  domain     string    the shop, the scene
  user_id    string
  item       string
  time       int64     seconds; prompts see what is strictly earlier
  rating     float64   stars, or 1 and 0
  label      int8      1 if the user liked the item
  text       string    what the user wrote of the item afterwards: a title
  item_text  string    what is known of the item beforehand: title, style
  split      string    train, valid or test
  told       bool      whether later prompts and statistics of the item may use
                       the row: those of the split train

Rows are sorted by time, those of one time as the source has them.
"""

from collections.abc import Mapping
from pathlib import Path
import tempfile
from typing import Any

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.prompts import synthetic
from behavior_lm.logs import schema
from behavior_lm.logs.readers import jsonl
from behavior_lm.logs.readers.quarantine import Quarantine
from behavior_lm.logs.readers.sources import find_sources

TRAIN, VALID, TEST = SPLITS = ("train", "valid", "test")
COLUMNS: dict[str, Any] = {
    "domain": pl.String,
    "user_id": pl.String,
    "item": pl.String,
    "time": pl.Int64,
    "rating": pl.Float64,
    "label": pl.Int8,
    "text": pl.String,
    "item_text": pl.String,
    "split": pl.String,
    "told": pl.Boolean,
}
# Stars from which on a review says that its author liked the item.
LIKED = 4.0
_AMAZON = {
    schema.USER_ID: "reviewerID",
    schema.EVENT_ID: "asin",
    schema.DESIGN_ID: "asin",
    schema.TIMESTAMP: "unixReviewTime",
    "rating": "overall",
}


def read_interactions(
    sources: Mapping[str, str],
    *,
    valid_share: float = 0.1,
    test_share: float = 0.2,
) -> pl.DataFrame:
  """The interactions of several domains.

  Args:
    sources: {domain: path}. A path is a file of Amazon reviews (JSON), a
      folder of CoLLM's MovieLens (train.parquet, items.tsv, ...), a Parquet
      file with the columns of this table (`domain`, `split` and `label` may be
      absent), or synthetic:ROWS:SEED.
    valid_share, test_share: shares of each domain's rows; the last ones in
      time are `test`, those before them `valid`. A source with a split of its
      own keeps it.

  Raises:
    UserError: if a path is none of these, or a part of a domain is empty.
  """
  if not sources:
    raise UserError(
        "no domains: set domain sources, such as"
        " --config.data.sources.beauty=All_Beauty_5.json.gz."
    )
  if not 0 < test_share < 1 or not 0 <= valid_share < 1 - test_share:
    raise UserError(
        f"valid_share {valid_share} and test_share {test_share}: give shares"
        " that leave some of a domain to train on."
    )
  found = []
  for domain, path in sources.items():
    frame = _read(path).with_columns(domain=pl.lit(domain))
    if "split" not in frame.columns:
      frame = split_by_time(frame, valid_share, test_share)
    counts = frame["split"].value_counts()
    there = set(counts["split"])
    if TRAIN not in there or TEST not in there:
      raise UserError(
          f"{path}: {len(frame)} rows of the domain {domain!r} leave none to"
          " train on or to test on."
      )
    frame = frame.with_columns(told=pl.col("split") == TRAIN)
    found.append(frame.select(pl.col(k).cast(v) for k, v in COLUMNS.items()))
  return pl.concat(found).sort("time", maintain_order=True)


def split_by_time(
    frame: pl.DataFrame, valid_share: float, test_share: float
) -> pl.DataFrame:
  """Adds `split`; rows of one time are in one part."""
  frame = frame.sort("time", maintain_order=True)
  times = frame["time"]
  at = lambda share: times[min(int(len(times) * share), len(times) - 1)]
  test_from = at(1 - test_share)
  valid_from = at(1 - test_share - valid_share)
  return frame.with_columns(
      split=pl.when(pl.col("time") >= test_from)
      .then(pl.lit(TEST))
      .when(pl.col("time") >= valid_from)
      .then(pl.lit(VALID if valid_share else TRAIN))
      .otherwise(pl.lit(TRAIN))
  )


def _read(path: str) -> pl.DataFrame:
  if path.startswith(synthetic.PREFIX):
    rows, _, seed = path.removeprefix(synthetic.PREFIX).partition(":")
    if not rows.isdecimal() or not (seed or "0").isdecimal():
      raise UserError(f"{path}: write synthetic:ROWS or synthetic:ROWS:SEED.")
    return synthetic.make_interactions(int(rows), seed=int(seed or 0))
  place = Path(path)
  if not place.exists():
    raise UserError(f"{path}: no such file or folder.")
  if place.is_dir():
    return _read_movies(place)
  if place.suffix == ".parquet":
    return _read_table(place)
  return _read_amazon(place)


def _read_amazon(path: Path) -> pl.DataFrame:
  """Amazon reviews; copies of a review (same user, item, time) count once."""
  (source,) = find_sources(str(path), "amazon").files
  with tempfile.TemporaryDirectory() as folder:
    rejected = Quarantine(Path(folder) / "rejected.jsonl")
    extras = ("rating", "summary", "style")
    frames = list(
        jsonl.read_jsonl(
            source, _AMAZON, "utf-8", rejected, extras, optional=("style",)
        )
    )
    rejected.close()
  frame = pl.concat(frames) if frames else pl.DataFrame()
  if frame.is_empty():
    raise UserError(f"{path}: holds no reviews.")
  known = pl.all_horizontal(
      pl.col(schema.USER_ID, schema.DESIGN_ID, "time", "rating").is_not_null()
  )
  frame = frame.with_columns(
      pl.col(schema.TIMESTAMP).cast(pl.Int64, strict=False).alias("time"),
      pl.col("rating").cast(pl.Float64, strict=False),
  ).filter(known)
  return (
      frame.select(
          pl.col(schema.USER_ID),
          pl.col(schema.DESIGN_ID).alias("item"),
          "time",
          "rating",
          (pl.col("rating") >= LIKED).cast(pl.Int8).alias("label"),
          pl.col("summary").fill_null("").alias("text"),
          _style_text().alias("item_text"),
      )
      .unique(["user_id", "item", "time"], keep="first", maintain_order=True)
  )


def _style_text() -> pl.Expr:
  """{"Color:": " Blue", "Size:": " 7"} -> "Color: Blue, Size: 7"."""
  return (
      pl.col("style")
      .fill_null("")
      .str.replace_all(r'[{}"]', "")
      .str.replace_all(r":+\s*", ": ")
      .str.replace_all(r": : ?", ": ")
      .str.replace_all(r",\s*", ", ")
      .str.strip_chars()
  )


def _read_movies(folder: Path) -> pl.DataFrame:
  """CoLLM's MovieLens with its own split; item texts are titles and genres."""
  try:
    items = pl.read_csv(
        folder / "items.tsv", separator="\t", quote_char=None
    ).select(
        pl.col("iid").cast(pl.Int64),
        pl.format("{}, {}", "title", pl.col("genres").str.replace_all(
            "|", ", ", literal=True
        )).alias("item_text"),
    )
    parts = [
        pl.read_parquet(folder / f"{split}.parquet").with_columns(
            pl.col("iid").cast(pl.Int64), split=pl.lit(split)
        )
        for split in SPLITS
    ]
    frame = pl.concat(
        part.select("uid", "iid", "label", "timestamp", "split")
        for part in parts
    ).join(items, on="iid", how="left", maintain_order="left")
    return frame.select(
        pl.col("uid").cast(pl.String).alias("user_id"),
        pl.col("iid").cast(pl.String).alias("item"),
        pl.col("timestamp").cast(pl.Int64).alias("time"),
        pl.col("label").cast(pl.Float64).alias("rating"),
        "label",
        # Of an earlier film, its title is what there is to tell.
        pl.col("item_text").fill_null("").alias("text"),
        pl.col("item_text").fill_null(""),
        "split",
    )
  except (OSError, pl.exceptions.PolarsError) as error:
    raise UserError(
        f"{folder}: is no folder of CoLLM's MovieLens ({error})."
    ) from error


def _read_table(path: Path) -> pl.DataFrame:
  try:
    frame = pl.read_parquet(path)
  except (OSError, pl.exceptions.PolarsError) as error:
    raise UserError(f"{path}: is no Parquet file ({error}).") from error
  if "label" not in frame.columns and "rating" in frame.columns:
    liked = (pl.col("rating") >= LIKED).cast(pl.Int8)
    frame = frame.with_columns(liked.alias("label"))
  missing = COLUMNS.keys() - {"domain", "split", "told"} - set(frame.columns)
  if missing:
    raise UserError(f"{path}: has no column {', '.join(sorted(missing))}.")
  return frame
