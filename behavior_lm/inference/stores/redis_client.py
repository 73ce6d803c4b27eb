"""A connection to a Redis server, and what its errors mean to a person."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import os
import secrets
import time
from typing import Any
import urllib.parse

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError

# A writer that was killed keeps others waiting for as long as this.
LOCK_SECONDS = 30
_POLL_SECONDS = 0.2
# Of a command whose connection broke, within about a second.
RETRIES = 3
_SCHEMES = ("redis", "rediss")
# Secrets and certificates come from the environment: arguments of a command
# are seen by every user of the machine.
USERNAME = "REDIS_USERNAME"
PASSWORD = "REDIS_PASSWORD"
CA_FILE = "REDIS_CA_FILE"
CERT_FILE = "REDIS_CERT_FILE"
KEY_FILE = "REDIS_KEY_FILE"


@dataclasses.dataclass(frozen=True)
class Address:
  """A server.

  Attributes:
    text: as a person writes it.
    host, port, db: of the server.
    tls: whether the connection is encrypted (rediss://).
  """

  text: str
  host: str
  port: int
  db: int
  tls: bool


def parse_address(url: str) -> Address:
  """Reads redis://host:port/db, or rediss:// for TLS.

  Raises:
    UserError: for other forms, and for a password in the address.
  """
  try:
    parts = urllib.parse.urlsplit(url)
    port = parts.port or 6379
    db = int(parts.path.strip("/") or 0)
  except ValueError as error:
    raise UserError(
        f"{url}: is no address of a Redis server ({error}); give"
        " redis://host:port/ or rediss://host:port/ (TLS)."
    ) from error
  if "@" in parts.netloc:
    raise UserError(
        "the address of a Redis server holds a user or password, which every"
        f" user of this machine can see. Put them into {USERNAME} and"
        f" {PASSWORD} in the environment."
    )
  if parts.scheme not in _SCHEMES or not parts.hostname or parts.query:
    raise UserError(
        f"{url}: is no address of a Redis server; give redis://host:port/ or"
        " rediss://host:port/ (TLS), with the number of the database behind"
        " it if it is not 0."
    )
  text = f"{parts.scheme}://{parts.netloc}/{db or ''}"
  return Address(text, parts.hostname, port, db, parts.scheme == "rediss")


def connect(address: Address) -> Any:
  """A client with the credentials of the environment; connects when used.

  Raises:
    UserError: if redis-py is not installed or a certificate is missing.
  """
  redis = _redis()
  files = {
      name: os.environ.get(name) for name in (CA_FILE, CERT_FILE, KEY_FILE)
  }
  for name, path in files.items():
    if address.tls and path and not os.path.isfile(path):
      raise UserError(f"{name}={path}: no such file.")
  tls = {
      "ssl": True,
      "ssl_ca_certs": files[CA_FILE],
      "ssl_certfile": files[CERT_FILE],
      "ssl_keyfile": files[KEY_FILE],
  }
  return redis.Redis(
      host=address.host,
      port=address.port,
      db=address.db,
      username=os.environ.get(USERNAME),
      password=os.environ.get(PASSWORD),
      socket_connect_timeout=5,
      socket_timeout=30,
      protocol=2,  # Servers of every age speak it.
      retry=redis.retry.Retry(
          redis.backoff.ExponentialBackoff(cap=1, base=0.1), RETRIES
      ),
      **(tls if address.tls else {}),
  )


@contextlib.contextmanager
def explained(address: Address, state: Callable[[], str]) -> Iterator[None]:
  """Turns an error of the server into one clear line.

  Args:
    address: of the server.
    state: what was done, and what the person may do, for the message.
  """
  exceptions = _redis().exceptions
  # The first kind that fits; some kinds are special cases of later ones.
  meanings = (
      (
          exceptions.OutOfMemoryError,
          "is full (maxmemory), and took no more. Give it memory, or delete"
          " what it does not need",
      ),
      (
          exceptions.AuthenticationError,
          f"refuses the credentials. Set {USERNAME} and {PASSWORD} in the"
          " environment",
      ),
      (
          exceptions.NoPermissionError,
          "does not permit this user what an export needs: GET, SET, EXISTS,"
          " EXPIRE, HSET, HGETALL, DEL, WATCH, MULTI",
      ),
      (exceptions.ReadOnlyError, "is a replica. Give its primary's address"),
      (exceptions.BusyLoadingError, "is still loading its data. Wait for it"),
      (
          exceptions.MovedError,
          "is a node of a cluster, and an export writes to one server. Give a"
          " server that is not part of a cluster",
      ),
      (exceptions.ConnectionError, "cannot be reached"),
      (exceptions.TimeoutError, "does not answer in time"),
      (exceptions.RedisError, "reports an error"),
  )
  try:
    yield
  except exceptions.RedisError as error:
    kind, meaning = next(m for m in meanings if isinstance(error, m[0]))
    reason = ""
    if kind not in (exceptions.OutOfMemoryError, exceptions.MovedError):
      # What stands before it is the command, with the id of a user.
      reason = f" ({first_line(error).rpartition('caused error: ')[2]})"
    raise UserError(f"{address.text} {meaning}{reason}. {state()}") from error


class WriterLock:
  """The right to write under a key, which ends by itself after a kill.

  Args:
    client: of the server.
    key: of the lock.
  """

  def __init__(self, client: Any, key: str) -> None:
    self._client = client
    self._key = key
    self._token = secrets.token_hex(8).encode()

  @contextlib.contextmanager
  def held(self, say: Callable[[str], None]) -> Iterator[None]:
    """Waits for the lock, for as long as that of a killed writer lasts.

    Raises:
      UserError: if somebody else still holds it then.
    """
    deadline = time.monotonic() + LOCK_SECONDS + 1
    told = False
    while not self._client.set(
        self._key, self._token, nx=True, ex=LOCK_SECONDS
    ):
      if time.monotonic() > deadline:
        raise UserError(
            f"{self._key}: another export is writing there. Wait for its end,"
            " or choose another --name."
        )
      if not told:
        say(f"{self._key}: waiting for another export, or its time-out")
        told = True
      time.sleep(_POLL_SECONDS)
    try:
      yield
    finally:
      # The lock ends by itself where the server is gone.
      with contextlib.suppress(_redis().exceptions.RedisError):
        self._while_held(lambda pipe: pipe.delete(self._key))

  def renew(self, pipe: Any) -> None:
    """Adds the renewal to a pipeline; see `check`."""
    pipe.expire(self._key, LOCK_SECONDS)
    pipe.get(self._key)

  def check(self, replies: list[Any]) -> None:
    """Checks the last reply of a pipeline with `renew` at its end.

    Raises:
      UserError: if the lock was lost.
    """
    if replies[-1] != self._token:
      self._lost()

  def set_pointer(self, key: str, value: str) -> None:
    """Sets a key if the lock is held, in one step of the server.

    Raises:
      UserError: if the lock was lost.
    """
    if not self._while_held(lambda pipe: pipe.set(key, value)):
      self._lost()

  def _while_held(self, act: Callable[[Any], Any]) -> bool:
    """Runs a transaction; False, and nothing happens, without the lock."""
    with self._client.pipeline() as pipe:
      pipe.watch(self._key)
      if pipe.get(self._key) != self._token:
        return False
      pipe.multi()
      act(pipe)
      try:
        pipe.execute()
      except _redis().exceptions.WatchError:
        return False
    return True

  def _lost(self) -> None:
    raise UserError(
        f"{self._key}: was lost, to another export or because the server"
        " evicts keys (maxmemory-policy), was restarted or did not answer for"
        f" {LOCK_SECONDS} s. The pointer is unmoved. Run the same command to"
        " continue."
    )


def _redis() -> Any:
  try:
    import redis
    import redis.backoff
    import redis.retry
  except ImportError as error:
    raise UserError(
        "redis-py is not installed. Run: pip install 'behavior_lm[redis]'."
    ) from error
  return redis
