import json

from tests.logs.formats import reading

_EVENTS = [
    {
        "log_id": "400027",
        "role_grade": "012",
        "design_id": "161",
        "timestamp": "2019-08-14 20:20:01",
    },
    {
        "log_id": "400031",
        "role_grade": "013",
        "timestamp": "2019-08-14 20:20:04",
    },
]


def test_the_file_is_the_user_and_designs_may_be_missing(tmp_path):
  log = tmp_path / "7001.2019-08-14-20-20-01.2019-08-14-20-20-04.json"
  log.write_text(json.dumps(_EVENTS, indent=4))
  assert reading.events(log, "justice_json", tmp_path) == [
      ("7001", "400027", "161", "2019-08-14T20:20:01Z", 12.0),
      ("7001", "400031", "0", "2019-08-14T20:20:04Z", 13.0),
  ]


def test_levels_may_be_missing_and_strange_events_cost_themselves(tmp_path):
  log = tmp_path / "7001.json"
  bare = [{"log_id": e["log_id"], "timestamp": e["timestamp"]} for e in _EVENTS]
  log.write_text(json.dumps([*bare, 5, {"timestamp": "2019-08-14"}]))
  found, bad = reading.read(log, "justice_json", tmp_path)
  assert [row[1:] for row in reading.as_rows(found)] == [
      ("400027", "0", "2019-08-14T20:20:01Z", None),
      ("400031", "0", "2019-08-14T20:20:04Z", None),
  ]
  assert bad == [(3, "broken JSON"), (4, "no event")]


def test_a_folder_is_a_log_of_many_users(tmp_path):
  for user in ("7001", "7002"):
    (tmp_path / f"{user}.a.json").write_text(json.dumps(_EVENTS))
  (tmp_path / "7003.a.json").write_text("[]")
  found = reading.events(tmp_path / "*.json", "justice_json", tmp_path)
  assert [row[0] for row in found] == ["7001", "7001", "7002", "7002"]
