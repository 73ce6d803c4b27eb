"""Vectors in Redis, for readers that need one within a millisecond.

  {namespace}:{model}:{version}:u:{user}  the vector: float16, little-endian
                                          bytes, or a JSON list
  {namespace}:{model}:{version}:meta      hash: dim, dtype, count, hash, time
  {namespace}:{model}:current             the version that readers take
  {namespace}:{model}:writer              who exports now, for some seconds

A version is written beside the one that is read, checked, and then switched
to by one SET of the pointer. Keys die by their time to live: the old version
needs no cleaning. A version is named by its content, so the same command
continues what a fault has left, and writes only what is missing.
"""

from collections.abc import Callable, Iterator
import dataclasses
import datetime
import hashlib
import re
import time
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.inference.stores.encoding import encode
from behavior_lm.inference.stores.redis_client import connect
from behavior_lm.inference.stores.redis_client import explained
from behavior_lm.inference.stores.redis_client import parse_address
from behavior_lm.inference.stores.redis_client import WriterLock
from behavior_lm.inference.stores.source import VectorSource

_NAME = re.compile(r"[\w.-]+", re.ASCII)
_SAMPLE = 1_000
_WEEK = 7 * 86_400


def _half_bytes(vectors: np.ndarray) -> list[bytes]:
  halves = encode(vectors, "float16").values.astype("<f2")
  return [half.tobytes() for half in halves]


def _json_lists(vectors: np.ndarray) -> list[bytes]:
  """The shortest numbers that read back as the same float32."""
  kind = pl.Array(pl.String, vectors.shape[1])
  texts = pl.Series(vectors.astype(np.float32)).cast(kind).arr.join(",")
  return [f"[{text}]".encode() for text in texts]


# Vectors [n, dim] -> the values of their keys.
FORMATS: dict[str, Callable[[np.ndarray], list[bytes]]] = {
    "float16": _half_bytes,
    "json": _json_lists,
}


@dataclasses.dataclass(frozen=True)
class RedisSpec:
  """Where and how vectors are kept.

  Attributes:
    model: part of all keys.
    namespace: the first part of all keys.
    version: part of the keys of one export; named by its content when empty.
    dtype: one of FORMATS.
    ttl: seconds until a key dies. Export again before, or readers find
      nothing.
    batch: keys sent at once.
  """

  model: str
  namespace: str = "behavior"
  version: str = ""
  dtype: str = "float16"
  ttl: int = _WEEK
  batch: int = 1_000

  def check(self) -> None:
    """Raises UserError for values that mean nothing."""
    for name in ("model", "namespace", "version"):
      value = getattr(self, name)
      if not _NAME.fullmatch(value) and (value or name != "version"):
        raise UserError(
            f"{name} {value!r} of Redis keys: use letters, digits, '.', '_' and"
            " '-' only."
        )
    if self.dtype not in FORMATS:
      raise UserError(
          f"--dtype {self.dtype!r}; known are {', '.join(FORMATS)} for Redis."
      )
    if self.ttl < 1 or not 1 <= self.batch <= 100_000:
      raise UserError(
          f"--ttl {self.ttl} s must be at least 1, and {self.batch} keys at"
          " once between 1 and 100,000."
      )


@dataclasses.dataclass(frozen=True)
class Layout:
  """The keys of one version."""

  namespace: str
  model: str
  version: str

  @property
  def pointer(self) -> str:
    return f"{self.namespace}:{self.model}:current"

  @property
  def lock(self) -> str:
    return f"{self.namespace}:{self.model}:writer"

  @property
  def meta(self) -> str:
    return f"{self.namespace}:{self.model}:{self.version}:meta"

  @property
  def users(self) -> str:
    """What stands before the id of a user."""
    return f"{self.namespace}:{self.model}:{self.version}:u:"


@dataclasses.dataclass
class Outcome:
  """What an export did.

  Attributes:
    version: that readers take now.
    rows: of it.
    written: of them, now; the others were there.
    before: the version that readers took before, "" if none.
    value_bytes: of the values that were written.
    seconds: in all, check and switch included.
  """

  version: str
  rows: int
  written: int = 0
  before: str = ""
  value_bytes: int = 0
  seconds: float = 0.0


def write_redis(
    source: VectorSource,
    url: str,
    spec: RedisSpec,
    *,
    say: Callable[[str], None] = print,
) -> Outcome:
  """Writes, checks and switches to one version of the vectors.

  Args:
    source: the vectors, one row per user.
    url: redis://host:port/db or rediss:// (TLS); the environment holds the
      credentials, see `redis_client`.
    spec: where and how.
    say: called with a message when an export is continued or waits.

  Raises:
    UserError: if the server cannot be reached, is full, dies or loses keys,
      or somebody else is writing. The pointer is then as it was, and the same
      call continues.
  """
  started = time.monotonic()
  spec.check()
  address = parse_address(url)
  source.check_users()
  digest = hashlib.sha256(
      f"{source.fingerprint} {spec.dtype}".encode()
  ).hexdigest()
  version = spec.version or digest[:12]
  layout = Layout(spec.namespace, spec.model, version)
  done = Outcome(version, source.num_rows)
  reached = [0]

  def state() -> str:
    return (
        f"{reached[0]:,} of {done.rows:,} vectors of version {version} are"
        f" there; {layout.pointer} is unmoved. Run the same command to"
        " continue."
    )

  with connect(address) as client, explained(address, state):
    done.before = (client.get(layout.pointer) or b"").decode()
    lock = WriterLock(client, layout.lock)
    with lock.held(say):
      meta = {
          "dim": source.dim,
          "dtype": spec.dtype,
          "count": done.rows,
          "hash": digest,
          "time": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
      }
      there = _write_meta(client, layout, meta, spec.ttl)
      if there:
        say(f"continuing: version {version} is there, or a part of it")
      sample = _write_all(
          client, lock, layout, source, spec, there, done, reached
      )
      _check_all(client, lock, layout, source, spec, sample)
      lock.set_pointer(layout.pointer, version)
  done.seconds = time.monotonic() - started
  return done


def _write_meta(
    client: Any, layout: Layout, meta: dict[str, Any], ttl: int
) -> bool:
  """Writes the hash of a version; whether the version was begun before."""
  there = client.hget(layout.meta, "hash")
  if there is not None and there.decode() != meta["hash"]:
    raise UserError(
        f"{layout.meta}: version {layout.version!r} holds other vectors. Choose"
        " another --version, or leave it out."
    )
  with client.pipeline() as pipe:
    pipe.hset(layout.meta, mapping=meta)
    pipe.expire(layout.meta, ttl)
    pipe.execute()
  return there is not None


def _write_all(
    client: Any,
    lock: WriterLock,
    layout: Layout,
    source: VectorSource,
    spec: RedisSpec,
    there: bool,
    done: Outcome,
    reached: list[int],
) -> dict[str, bytes]:
  """Writes the keys that are missing; returns some keys and their values."""
  rng = np.random.default_rng()
  count = min(_SAMPLE, done.rows)
  wanted = set(rng.choice(done.rows, count, replace=False).tolist())
  sample = {}
  progress = CommandProgress()
  for keys, vectors in _keys(source, layout, spec.batch):
    values = FORMATS[spec.dtype](vectors)
    for place in range(len(keys)):
      if reached[0] + place in wanted:
        sample[keys[place]] = values[place]
    missing = list(range(len(keys)))
    if there:
      # What is there lives as long as what is written now.
      kept = _send(client, lock, [("EXPIRE", key, spec.ttl) for key in keys])
      missing = [place for place, reply in enumerate(kept) if not reply]
    commands = [
        ("SET", keys[place], values[place], "EX", spec.ttl)
        for place in missing
    ]
    if commands:
      _send(client, lock, commands)
    done.written += len(commands)
    done.value_bytes += sum(len(command[2]) for command in commands)
    reached[0] += len(keys)
    progress.stage("vectors", reached[0], done.rows)
  progress.close()
  return sample


def _check_all(
    client: Any,
    lock: WriterLock,
    layout: Layout,
    source: VectorSource,
    spec: RedisSpec,
    sample: dict[str, bytes],
) -> None:
  """Raises UserError unless all keys are there and the sample is as written."""
  there = sum(
      _send(client, lock, [("EXISTS", *keys)])[0]
      for keys, _ in _keys(source, layout, spec.batch)
  )
  if missing := source.num_rows - there:
    raise UserError(
        f"{missing:,} of {source.num_rows:,} keys of version {layout.version}"
        " are gone again: the server evicts keys (maxmemory-policy), was"
        f" restarted, or --ttl {spec.ttl} s is shorter than the export."
        f" {layout.pointer} is unmoved. Run the same command to continue."
    )
  keys = list(sample)
  for start in range(0, len(keys), spec.batch):
    part = keys[start : start + spec.batch]
    got = _send(client, lock, [("GET", key) for key in part])
    wrong = [k for k, v in zip(part, got, strict=True) if v != sample[k]]
    if wrong:
      raise UserError(
          f"{len(wrong)} of {len(part)} keys that were read back hold other"
          f" values: somebody else writes below {layout.users}."
          f" {layout.pointer} is unmoved. Choose another --name."
      )


def _send(
    client: Any, lock: WriterLock, commands: list[tuple[Any, ...]]
) -> list[Any]:
  """Sends commands in one pipeline, and renews the lock; their replies."""
  with client.pipeline(transaction=False) as pipe:
    for command in commands:
      pipe.execute_command(*command)
    lock.renew(pipe)
    replies = pipe.execute()
  lock.check(replies)
  return replies[: len(commands)]


def _keys(
    source: VectorSource, layout: Layout, rows: int
) -> Iterator[tuple[list[str], np.ndarray]]:
  for table, vectors in source.batches(rows):
    yield [layout.users + user for user in table["user_id"]], vectors
