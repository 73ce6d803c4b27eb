from tests.logs.formats import reading

_WORDS = "400227#0#2019-03-26-06:18:12 ai#+161#2019-03-26-06:18:13"
_WANT = [
    ("400227", "0", "2019-03-26T06:18:12Z"),
    ("ai", "+161", "2019-03-26T06:18:13Z"),
]


def test_words_are_events_of_the_user_before_the_colon(tmp_path):
  log = reading.write(
      tmp_path / "block-0",
      f"7001_2019-03-26:{_WORDS}",
      f"my_clan_7_2019-03-26:{_WORDS} ",
      "7002_2019-03-26:",
  )
  assert reading.events(log, "justice_words", tmp_path) == [
      *[("7001", *event) for event in _WANT],
      *[("my_clan_7", *event) for event in _WANT],
  ]


def test_without_a_user_the_file_is_the_user(tmp_path):
  logs = tmp_path / "242.neg"
  for user in ("7001", "7002"):
    reading.write(logs / user, f"2019-03-26:{_WORDS}")
  assert reading.events(logs, "justice_words", tmp_path) == [
      *[("7001", *event) for event in _WANT],
      *[("7002", *event) for event in _WANT],
  ]


def test_a_bad_word_costs_itself_alone(tmp_path):
  log = tmp_path / "7001"
  log.write_text(
      f"2019-03-26:400227#0 {_WORDS}\nno day\n2019-03-27:{_WORDS[:-12]}"
  )
  found, bad = reading.read(log, "justice_words", tmp_path)
  assert found.height == 3
  assert bad == [
      (1, "wrong number of fields"),
      (2, "wrong number of fields"),
      (3, "cut-off last row"),
  ]
  # What is left of a time must not look like a day with an offset.
  log.write_text(f"2019-03-26:{_WORDS[:-6]}")
  found, bad = reading.read(log, "justice_words", tmp_path)
  assert (found.height, bad) == (1, [(1, "cut-off last row")])
  log.write_text(f"2019-03-26:{_WORDS[:-6]}\n")
  found, bad = reading.read(log, "justice_words", tmp_path)
  assert (found.height, bad) == (1, [(1, "unreadable time")])
  log.write_text(f"2019-03-26:{_WORDS} 40022")
  found, bad = reading.read(log, "justice_words", tmp_path)
  assert (found.height, bad) == (2, [(1, "cut-off last row")])


def test_long_logs_come_in_batches(tmp_path):
  log = reading.write(
      tmp_path / "block-0",
      *[f"u{n}_2019-03-26:{_WORDS}" for n in range(1_200)],
  )
  found = reading.events(log, "justice_words", tmp_path)
  assert [row[0] for row in found[::2]] == [f"u{n}" for n in range(1_200)]
