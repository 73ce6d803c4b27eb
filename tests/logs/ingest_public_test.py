"""Every real log file becomes a dataset, with the counts known of it."""

import dataclasses

import pytest

from tests.logs.support import log_files

pytestmark = pytest.mark.realdata


@dataclasses.dataclass(frozen=True)
class Log:
  """One file, how it is read and what has to come out.

  Attributes:
    path: below the folder of real logs.
    log_format: the value of --format.
    users: different users.
    events: events of the dataset.
    pairs: different (event, design) pairs; None where nobody counted them.
    rejected: reason -> rows.
    options: further ones.
    known: what is published of the file, and why it differs if it does.
  """

  path: str
  log_format: str
  users: int
  events: int
  pairs: int | None = None
  rejected: dict[str, int] = dataclasses.field(default_factory=dict)
  options: dict = dataclasses.field(default_factory=dict)
  known: str = ""


_USER = {"unit": "user"}
_LEVEL = {"extras": ("level",)}
_CUT_OFF = {"cut-off last row": 1}
LOGS = [
    Log(
        "public/ml1m/ml-1m.txt", "sasrec", 6_040, 999_611, 3_416,
        options=_USER, known="999,611 events, 6,040 users, 3,416 items",
    ),
    Log(
        "public/beauty/Beauty_item_org_rank.txt", "sasrec_time",
        22_363, 198_502, 12_101,
        known="198,502 events, 22,363 users, 12,101 items (with the time file)",
    ),
    Log(
        "public/ml1m_ctr/train.parquet", "collm", 740, 33_891,
        known="33,891 rows",
    ),
    Log(
        "public/ml1m_ctr/valid.parquet", "collm", 356, 10_401,
        known="10,401 rows",
    ),
    Log(
        "public/ml1m_ctr/test.parquet", "collm", 320, 7_331,
        known="7,331 rows",
    ),
    Log(
        "public/ml1m_ctr/valid_small.parquet", "collm", 331, 5_200,
        known="not counted; all its rows are in valid.parquet too",
    ),
    Log(
        "public/taobao/UserBehavior_head84475.csv", "taobao", 815, 84_475,
        rejected=_CUT_OFF,
        known="84,475 whole rows by its name, and the cut-off one",
    ),
    Log(
        "public/taobao/UserBehavior_tail10000.csv", "taobao", 114, 10_000,
        known="10,000 rows by its name",
    ),
    Log(
        "public/taobao", "taobao", 929, 94_475, rejected=_CUT_OFF,
        known="94,436 events, 929 users: the published count leaves out the 39"
        " events before the nine days of the data, 2017-11-25 to 12-03",
    ),
    Log(
        "public/tianchi/sample_user_behavior.csv", "tianchi", 34, 1_999,
        known="1,999 rows",
    ),
    Log(
        "public/ml100k/ml-100k.inter", "recbole", 943, 100_000, 1_682,
        options={"extras": ("rating",)},
        known="not counted; MovieLens 100K has 100,000 ratings of 943 users"
        " and 1,682 films",
    ),
    Log(
        "public/amazon_reviews/AMAZON_FASHION_5.json", "amazon",
        406, 3_176, 31, known="not counted; one JSON array",
    ),
    Log(
        "public/amazon_reviews/All_Beauty_5.json.gz", "amazon",
        991, 5_269, 85, known="not counted; 5,269 lines",
    ),
    Log(
        "public/amazon_reviews/Musical_Instruments_5.json.gz", "amazon",
        1_429, 10_261, 900, known="not counted; 10,261 lines",
    ),
    Log(
        "public/criteo/train.tiny.csv", "criteo", 1_999, 45_836,
        options=_USER, known="1,999 rows: each is a user here",
    ),
    Log(
        "public/criteo/deepctr_criteo_sample.txt", "criteo", 200, 4_627,
        options=_USER, known="200 rows: each is a user here",
    ),
    Log(
        "public/criteo/torch_rechub_criteo_sample.csv", "criteo", 115, 2_668,
        options=_USER, known="115 rows: each is a user here",
    ),
    Log(
        "justice/bot_train.parquet", "auto", 1_600, 111_546,
        options=_USER | _LEVEL, known="111,546 rows, 1,600 users",
    ),
    Log(
        "justice/map_204.parquet", "auto", 100, 4_399_629,
        options=_LEVEL, known="4,399,629 rows, 100 users",
    ),
    Log(
        "justice/churn_242.parquet", "auto", 195, 6_450_480,
        options=_USER, known="6,450,480 rows, 195 users; it has no level",
    ),
]  # fmt: skip
# Files that are no logs of events.
NOT_LOGS = {
    "README.md": "about the data",
    "public/ml1m/README_grouplens.txt": "about the data",
    "public/ml1m/movies.dat": "titles and genres of films",
    "public/ml1m/sas_to_original_items.txt": "item numbers of two editions",
    "public/ml1m_ctr/items.tsv": "titles and genres of films",
    "public/tianchi/sample_item_info.csv": "place and category of items",
    "public/ml100k/ml-100k.item": "titles and genres of films",
    "public/ml100k/ml-100k.user": "age, sex and work of users",
    "public/beauty/Beauty_time_org_rank.txt": "read with the item file",
    "public/beauty_s3/Beauty.txt": "one line per user, without times",
    "justice/bot_train_labels.csv": "labels of users",
    "justice/churn_242_labels.csv": "labels of users",
}
_LARGE = 1_000_000


def test_every_file_is_a_log_here_or_known_as_none(data_root):
  found = {
      path.relative_to(data_root).as_posix()
      for path in data_root.rglob("*")
      if path.is_file()
  }
  logs = {log.path for log in LOGS if (data_root / log.path).is_file()}
  assert found == logs | set(NOT_LOGS)


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(
            log,
            id=log.path,
            marks=[pytest.mark.slow] if log.events > _LARGE else [],
        )
        for log in LOGS
    ],
)
def test_a_real_log_loads_with_its_counts(tmp_path, data_root, log):
  found = log_files.prepare(
      data_root / log.path,
      tmp_path / "out",
      log_format=log.log_format,
      **log.options,
  )
  assert found["num_users"] == log.users
  assert found["num_events"] == log.events
  assert found["rows"] == log.events + sum(log.rejected.values())
  assert found["rejected"]["by_reason"] == log.rejected
  if log.pairs is not None:
    assert found["num_pairs"] == log.pairs
