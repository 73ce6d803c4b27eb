r"""Writes a trained model, or its vectors, for other programs.

  python experiments/export.py --run RUN --to parquet:DIR
  python experiments/export.py --run RUN --to faiss:DIR
  python experiments/export.py --run RUN --to redis://host:port/
  python experiments/export.py --run RUN --to stablehlo:DIR

The first three take vectors: those of --vectors FILE (of embed.py), or of
--data DATASET, embedded now, or the only file in RUN/embeddings. StableHLO
takes the encoder itself, or a ranker with --items TABLE. Killed or failed, the
same command continues. The environment holds REDIS_USERNAME, REDIS_PASSWORD,
and for rediss:// (TLS) REDIS_CA_FILE, REDIS_CERT_FILE and REDIS_KEY_FILE. See
docs/export.md.

  python experiments/export.py --run RUN --out FOLDER
  python experiments/export.py --huggingface FOLDER --run NEW_RUN

The first makes what transformers loads (BERT, ALBERT, Longformer without a
time encoding), with the tokenizer beside it in FOLDER/behavior_lm. The second
makes a run folder of such a folder, trained on elsewhere or not: for embed.py
and evaluate.py, or to start a run with --config.init_from. See docs/interop.md.
A folder of a language model, with its tokenizer of text, becomes a run folder
that configs/prompts.py starts from. See docs/domains.md.
"""

import contextlib
from pathlib import Path
from typing import Any

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from behavior_lm.common.lock import held_beside
from behavior_lm.common.signals import exit_when_stopped

_RUN = flags.DEFINE_string(
    "run", "", "The run folder; read, or with --huggingface made."
)
flags.DEFINE_alias("workdir", "run")
_TO = flags.DEFINE_string(
    "to",
    "",
    "parquet:DIR, faiss:DIR, stablehlo:DIR, redis://host:port/ or rediss://.",
)
_DATA = flags.DEFINE_string("data", "", "A dataset to embed and export.")
_VECTORS = flags.DEFINE_string("vectors", "", "A file of embed.py to export.")
_PSEUDONYMS = flags.DEFINE_bool(
    "pseudonyms",
    False,
    "parquet, faiss, redis: replace user ids by salted hashes; the salt is the"
    " environment variable BEHAVIOR_LM_SALT.",
)
_SPLITS = flags.DEFINE_list("splits", [], "train,test, say; all if not given.")
_UNIT = flags.DEFINE_string(
    "unit",
    "",
    "Of --data: user_day or user. If not given, user for Redis, otherwise the"
    " dataset's own.",
)
_POOLING = flags.DEFINE_string(
    "pooling", "mean", "Of --data and stablehlo: mean, max, cls or last."
)
_LAYER = flags.DEFINE_integer(
    "layer", -1, "Of --data and stablehlo: 0 (embeddings) to the last, -1."
)
_STEP = flags.DEFINE_string("step", "latest", "The checkpoint: a step, latest.")
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace an earlier export at --to DIR."
)
_DTYPE = flags.DEFINE_string(
    "dtype",
    "",
    "parquet: float32 (default), float16 or int8 with a scale per vector."
    " redis: float16 (default) or json.",
)
_SHARD_ROWS = flags.DEFINE_integer("shard_rows", 2**17, "parquet: of a file.")
_INDEX = flags.DEFINE_string(
    "index", "flat", "faiss: flat (exact), ivf or hnsw."
)
_METRIC = flags.DEFINE_string(
    "metric", "inner_product", "faiss: inner_product or cosine."
)
_TARGET_RECALL = flags.DEFINE_float(
    "target_recall", 0.99, "faiss: recall@10 that ivf and hnsw are tuned for."
)
_NAME = flags.DEFINE_string(
    "name", "", "redis: the model in the keys; the run's name if not given."
)
_NAMESPACE = flags.DEFINE_string(
    "namespace", "behavior", "redis: the first part of the keys."
)
_VERSION = flags.DEFINE_string(
    "version", "", "redis: of the keys; named by the content if not given."
)
_TTL = flags.DEFINE_integer(
    "ttl", 7 * 86_400, "redis: seconds until keys die. Export again before."
)
_BATCH = flags.DEFINE_integer("batch", 1_000, "redis: keys sent at once.")
_LENGTHS = flags.DEFINE_list(
    "lengths", [], "stablehlo: of the programs; the model's own if not given."
)
_ITEMS = flags.DEFINE_string(
    "items",
    "",
    "stablehlo of a ranker: a table of what may be shown, the column of the"
    " candidate and the features that belong to it.",
)
_OUT = flags.DEFINE_string("out", None, "The Hugging Face folder to make.")
_HUGGINGFACE = flags.DEFINE_string(
    "huggingface", None, "An exported folder to make a run folder of."
)


def main(argv: list[str]) -> None:
  del argv
  if not _TO.value:
    _huggingface()
    return
  if not _RUN.value:
    raise UserError("--run is missing; see --help.")
  if _OUT.value or _HUGGINGFACE.value:
    raise UserError(
        "--to exports vectors and programs; --out and --huggingface are of"
        " Hugging Face folders. See --help."
    )
  kind, _, place = _TO.value.partition(":")
  if kind not in TARGETS or not place:
    raise UserError(
        f"--to {_TO.value!r}: give parquet:DIR, faiss:DIR, stablehlo:DIR or"
        " redis://host:port/."
    )
  # Redis has a lock of its own, which other machines see too.
  alone = (
      contextlib.nullcontext()
      if kind.startswith("redis")
      else held_beside(Path(place), f"--to {_TO.value}")
  )
  with exit_when_stopped("the same command continues"), alone:
    TARGETS[kind](place)


def _to_parquet(place: str) -> None:
  from behavior_lm.inference.stores.parquet import ShardSpec
  from behavior_lm.inference.stores.parquet import write_shards

  spec = ShardSpec(_DTYPE.value or "float32", _SHARD_ROWS.value)
  source = _source(unit=_UNIT.value)
  count = write_shards(source, place, spec, overwrite=_OVERWRITE.value)
  print(
      f"Parquet: {place} ({source.num_rows:,} vectors of width {source.dim} as"
      f" {spec.dtype}, {count:,} files)"
  )


def _to_faiss(place: str) -> None:
  from behavior_lm.common.folders import check_free
  from behavior_lm.inference.stores import manifest
  from behavior_lm.inference.stores.faiss_index import build_index
  from behavior_lm.inference.stores.faiss_index import IndexSpec
  from behavior_lm.inference.stores.faiss_index import RECALL_AT
  from behavior_lm.inference.stores.faiss_index import STORE

  spec = IndexSpec(
      _INDEX.value, _METRIC.value, target_recall=_TARGET_RECALL.value
  )
  spec.check()
  check_free(
      Path(place),
      overwrite=_OVERWRITE.value,
      is_ours=lambda folder: manifest.is_store(folder, STORE),
      prefix="--to faiss:",
      kind="FAISS index",
  )
  source = _source(unit=_UNIT.value)
  table, vectors = source.read()
  index = build_index(vectors, table, spec)
  index.save(place, overwrite=_OVERWRITE.value, **source.about)
  print(
      f"FAISS: {place} ({len(index):,} vectors of width {source.dim},"
      f" {spec.kind}, {spec.metric}; recall@{RECALL_AT} {index.recall:.4f} with"
      f" effort {index.effort})"
  )


def _to_redis(place: str) -> None:
  from behavior_lm.inference.stores.redis_client import parse_address
  from behavior_lm.inference.stores.redis_store import RedisSpec
  from behavior_lm.inference.stores.redis_store import write_redis

  del place
  spec = RedisSpec(
      model=_NAME.value or Path(_RUN.value).resolve().name,
      namespace=_NAMESPACE.value,
      version=_VERSION.value,
      dtype=_DTYPE.value or "float16",
      ttl=_TTL.value,
      batch=_BATCH.value,
  )
  spec.check()
  parse_address(_TO.value)  # Before the vectors are computed.
  done = write_redis(_source(unit=_UNIT.value or "user"), _TO.value, spec)
  print(
      f"Redis: {spec.namespace}:{spec.model}:current is {done.version}, before"
      f" {done.before or 'nothing'} ({done.rows:,} vectors, {done.written:,} of"
      f" them written, in {done.seconds:.1f} s)"
  )


def _ranker_to_stablehlo(place: str) -> None:
  from behavior_lm.data.samples.cells import read_file
  from behavior_lm.inference.stores.stablehlo_ranker import export_ranker
  from behavior_lm.inference.stores.stablehlo_ranker import LOADER
  from behavior_lm.recipes.ranking_run import load_ranking_run

  if not _ITEMS.value:
    raise UserError(
        "--items is missing: a ranker is exported with a table of what may be"
        " shown, the column of the candidate and the features that belong to"
        " it."
    )
  step = _step()
  run = load_ranking_run(_RUN.value, step, best=step is None)
  items = read_file(Path(_ITEMS.value))
  export_ranker(run, items, place, overwrite=_OVERWRITE.value)
  print(
      f"StableHLO: {place} (step {run.step:,}, {items.height:,} items, heads"
      f" {', '.join(run.heads)}; run it with {Path(place) / LOADER})"
  )


def _to_stablehlo(place: str) -> None:
  from behavior_lm.artifacts.run_folder import load_run_config

  if load_run_config(_RUN.value).get("recipe") == "ranking":
    _ranker_to_stablehlo(place)
    return
  from behavior_lm.inference.embedder import Embedder
  from behavior_lm.inference.stores.stablehlo import export_encoder
  from behavior_lm.inference.stores.stablehlo import LOADER
  from behavior_lm.inference.stores.stablehlo import ProgramSpec

  if odd := [text for text in _LENGTHS.value if not text.isdecimal()]:
    raise UserError(f"--lengths {odd[0]!r}: give whole numbers.")
  lengths = export_encoder(
      Embedder.load(_RUN.value, _step()),
      place,
      ProgramSpec(
          _POOLING.value, _LAYER.value, [int(n) for n in _LENGTHS.value]
      ),
      overwrite=_OVERWRITE.value,
  )
  print(
      f"StableHLO: {place} (lengths {', '.join(map(str, lengths))}; run it with"
      f" {Path(place) / LOADER})"
  )


# By what stands before the first colon of --to.
TARGETS = {
    "parquet": _to_parquet,
    "faiss": _to_faiss,
    "redis": _to_redis,
    "rediss": _to_redis,
    "stablehlo": _to_stablehlo,
}


def _source(unit: str) -> Any:
  """The vectors to export; embeds --data first."""
  from behavior_lm.inference.stores.pseudonyms import read_salt
  from behavior_lm.inference.stores.source import open_source

  salt = read_salt() if _PSEUDONYMS.value else b""
  if _DATA.value and _VECTORS.value:
    raise UserError("give --data, to embed it, or --vectors, not both.")
  splits = tuple(_SPLITS.value)
  if _DATA.value:
    from behavior_lm.inference.dataset_embeddings import embed_dataset
    from behavior_lm.inference.dataset_embeddings import Request
    from behavior_lm.inference.embedder import Embedder
    from behavior_lm.logs.dataset import open_dataset

    request = Request(
        splits=splits, unit=unit, pooling=_POOLING.value, layer=_LAYER.value
    )
    done = embed_dataset(
        Embedder.load(_RUN.value, _step()),
        open_dataset(_DATA.value),
        request,
        run=Path(_RUN.value),
    )
    return open_source(done.path, salt=salt)
  if _VECTORS.value:
    return open_source(_VECTORS.value, splits, salt)
  found = sorted((Path(_RUN.value) / "embeddings").glob("*.parquet"))
  if len(found) != 1:
    names = ", ".join(path.name for path in found) or "none"
    raise UserError(
        f"{_RUN.value}/embeddings: files of vectors: {names}. Choose one with"
        " --vectors, or embed a dataset with --data."
    )
  print(f"vectors: {found[0]}")
  return open_source(found[0], splits, salt)


def _step() -> int | None:
  if _STEP.value == "latest":
    return None
  if not _STEP.value.isdecimal():
    raise UserError(f"--step {_STEP.value!r}: give a number or latest.")
  return int(_STEP.value)


def _huggingface() -> None:
  run, out, source = _RUN.value, _OUT.value, _HUGGINGFACE.value
  if not run:
    raise UserError("--run is missing; see --help.")
  if (out and source) or not (out or source):
    raise UserError(
        "give one of --to, to export vectors or programs, --out, to export"
        " --run, and --huggingface, to make --run of a folder."
    )
  step = None
  if _STEP.value != "latest":
    if not _STEP.value.isdecimal() or source:
      raise UserError(
          f"--step {_STEP.value!r}: a step of --run to export, or latest."
      )
    step = int(_STEP.value)
  made = out or run
  with held_beside(Path(made), f"--{'out' if out else 'run'} {made}"):
    _convert(run, out, source, step)


def _convert(
    run: str, out: str | None, source: str | None, step: int | None
) -> None:
  """Makes a Hugging Face folder of a run, or a run folder of one."""
  # Late imports: --help and usage errors come at once.
  from behavior_lm.interop import runs
  from behavior_lm.interop.language_models import import_language_model

  if source:
    # Without a tokenizer of events, it is a language model from elsewhere.
    if (Path(source) / runs.OWN).is_dir():
      found = runs.import_run(source, run)
    else:
      found = import_language_model(source, run)
    for text in found.unused:
      print(f"not used: {text}")
    print(f"run folder: {Path(run)}")
  elif out:
    step = runs.export_run(run, out, step)
    print(f"step {step:,} of {Path(run)}")
    print(f"Hugging Face folder: {Path(out)}")
    print(f"its tokenizer and token names: {Path(out) / runs.OWN}")


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)
