"""User ids that only who knows the salt can tell."""

import hashlib
import hmac
import os

import polars as pl

from behavior_lm.common.errors import UserError

SALT = "BEHAVIOR_LM_SALT"  # of the environment
_SHORTEST = 16
_DIGITS = 32


def read_salt() -> bytes:
  """The salt of the environment variable BEHAVIOR_LM_SALT.

  Raises:
    UserError: if it is not set, or so short that ids could be guessed.
  """
  salt = os.environ.get(SALT, "")
  if len(salt) < _SHORTEST:
    raise UserError(
        f"--pseudonyms: set {SALT} in the environment to a secret text of at"
        f" least {_SHORTEST} characters, and keep it: the same salt gives a"
        " user the same pseudonym again."
    )
  return salt.encode()


def pseudonym(user: str, salt: bytes) -> str:
  """The first 128 bits of HMAC-SHA256 (RFC 2104), as 32 hexadecimal digits."""
  digest = hmac.new(salt, user.encode(), hashlib.sha256).hexdigest()
  return digest[:_DIGITS]


def with_pseudonyms(table: pl.DataFrame, salt: bytes) -> pl.DataFrame:
  """Replaces the column user_id."""
  users = table["user_id"].cast(pl.String)
  named = [None if user is None else pseudonym(user, salt) for user in users]
  return table.with_columns(pl.Series("user_id", named, pl.String))
