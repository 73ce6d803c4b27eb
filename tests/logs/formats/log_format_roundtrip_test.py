"""Whatever events a game or shop writes are the events that are read."""

import collections
import datetime
import json

from hypothesis import given
from hypothesis import strategies as st
import pytest

from tests.logs.formats import reading

_ID = st.text(
    st.characters(
        exclude_categories=["C", "Z"], exclude_characters='#_:",;\\\'\0'
    ),
    min_size=1,
    max_size=4,
)
_USER = st.integers(1, 4).map(lambda n: f"user{n}")
_TIME = st.integers(0, 10**7).map(
    lambda n: datetime.datetime(2019, 8, 1) + datetime.timedelta(seconds=n)
)
_EVENTS = st.lists(st.tuples(_USER, _ID, _ID, _TIME), min_size=1, max_size=20)


def expected(events):
  return collections.Counter(
      (user, event, design, time.strftime("%Y-%m-%dT%H:%M:%SZ"))
      for user, event, design, time in events
  )


def found(logs, log_format, folder):
  return collections.Counter(
      row[:4] for row in reading.events(logs, log_format, folder)
  )


@given(_EVENTS)
def test_words_of_days(tmp_path_factory, events):
  folder = tmp_path_factory.mktemp("words")
  days = collections.defaultdict(list)
  for user, event, design, time in events:
    word = f"{event}#{design}#{time:%Y-%m-%d-%H:%M:%S}"
    days[f"{user}_{time:%Y-%m-%d}"].append(word)
  lines = [f"{head}:{' '.join(words)}" for head, words in days.items()]
  log = reading.write(folder / "block", *lines)
  assert found(log, "justice_words", folder) == expected(events)


@pytest.mark.slow
@given(_EVENTS, st.booleans())
def test_texts_with_levels(tmp_path_factory, events, as_list):
  folder = tmp_path_factory.mktemp("level")
  texts = collections.defaultdict(list)
  for user, event, design, time in events:
    texts[user].append(f"{time:%Y-%m-%d %H:%M:%S}#085#{event}#{design}")
  (folder / "logs").mkdir()
  for user, lines in texts.items():
    text = json.dumps(lines) if as_list else "\n".join(lines) + "\n"
    (folder / "logs" / user).write_text(text)
  assert found(folder / "logs", "justice_level", folder) == expected(events)


@pytest.mark.slow
@given(_EVENTS, st.sampled_from([None, 4]))
def test_sessions_in_json(tmp_path_factory, events, indent):
  folder = tmp_path_factory.mktemp("json")
  sessions = collections.defaultdict(list)
  for user, event, design, time in events:
    entry = {"log_id": event, "timestamp": f"{time:%Y-%m-%d %H:%M:%S}"}
    # "0" is what an event without a design becomes.
    sessions[user].append(
        entry if design == "0" else entry | {"design_id": design}
    )
  (folder / "logs").mkdir()
  for user, session in sessions.items():
    path = folder / "logs" / f"{user}.2019.2020.json"
    path.write_text(json.dumps(session, indent=indent))
  assert found(folder / "logs", "justice_json", folder) == expected(events)


@given(_EVENTS)
def test_aligned_items_and_times(tmp_path_factory, events):
  folder = tmp_path_factory.mktemp("aligned")
  lines = collections.defaultdict(lambda: ([], []))
  for user, _, design, time in events:
    seconds = time.replace(tzinfo=datetime.UTC).timestamp()
    lines[user][0].append(design)
    lines[user][1].append(str(int(seconds)))
  for place, kind in enumerate(("item", "time")):
    reading.write(
        folder / f"shop_{kind}.txt",
        *(f"{user} {' '.join(both[place])}" for user, both in lines.items()),
    )
  renamed = [(user, "interaction", *rest) for user, _, *rest in events]
  assert found(
      folder / "shop_item.txt", "sasrec_time", folder
  ) == expected(renamed)
