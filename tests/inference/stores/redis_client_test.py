import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.stores.redis_client import Address
from behavior_lm.inference.stores.redis_client import CA_FILE
from behavior_lm.inference.stores.redis_client import connect
from behavior_lm.inference.stores.redis_client import parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://host", Address("redis://host/", "host", 6379, 0, False)),
        ("redis://h:1/2", Address("redis://h:1/2", "h", 1, 2, False)),
        ("rediss://h:1/", Address("rediss://h:1/", "h", 1, 0, True)),
    ],
)
def test_an_address_is_read(url, address):
  assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://host/", "no address of a Redis server"),
        ("redis://", "no address of a Redis server"),
        ("redis://host:port/", "no address of a Redis server"),
        ("redis://host/zero", "no address of a Redis server"),
        ("redis://:secret@host:1/", "Put them into REDIS_USERNAME"),
    ],
)
def test_odd_addresses_are_refused(url, message):
  with pytest.raises(UserError, match=message) as caught:
    parse_address(url)
  assert "secret" not in str(caught.value)


def test_certificates_come_from_the_environment(tmp_path, monkeypatch):
  address = parse_address("rediss://host/")
  monkeypatch.setenv(CA_FILE, str(tmp_path / "ca.pem"))
  with pytest.raises(UserError, match="REDIS_CA_FILE=.*: no such file"):
    connect(address)
  (tmp_path / "ca.pem").write_text("x")
  with connect(address) as client:
    found = client.connection_pool.connection_kwargs
  assert found["ssl_ca_certs"] == str(tmp_path / "ca.pem")
  assert found.get("ssl_cert_reqs", "required") == "required"
