"""Hand-made aggregates of one history: what an analyst would count first.

No calendar date and no absolute time enters: days are counted back from the
row's time, gaps are differences. The hour of the day is apart, in `hours`,
because in sampled logs it often tells how users were drawn.
"""

import zlib

import numpy as np

SECOND = 1_000_000
HOUR, DAY = 3_600 * SECOND, 86_400 * SECOND
# Silence that ends a session, as in player2vec (arXiv 2404.04234).
SESSION_GAP = 15 * 60 * SECOND
NUM_DAYS = 30
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
LAGS = (1, 2, 3, 4, 5, 8)
_HOURS = 24


def _names() -> list[str]:
  gaps = [f"gap quantile {q:g}" for q in QUANTILES]
  return [
      "events", "duration", "events per hour of sessions",
      *gaps, "gap mean", "gap deviation", "share of ties",
      "entropy of gaps", "most frequent gap", "correlation of gaps at lag 1",
      "correlation of gaps at lag 2",
      "entropy of events", "distinct events", "most frequent event",
      "entropy of event pairs", "bytes per event when compressed",
      *(f"equal to the event {lag} before" for lag in LAGS),
      "sessions", "events per session", "longest session in events",
      "seconds per session", "longest session in seconds",
      "median gap between sessions", "deviation of gaps between sessions",
      "active days", "days since the last event", "days since the first event",
      "events of the last 7 days over all", "slope of daily events",
      "deviation of daily events", "longest run of inactive days",
      "correlation of daily events at 7 days",
      *(f"events {day + 1} days before" for day in range(NUM_DAYS)),
      *(f"hours active {day + 1} days before" for day in range(NUM_DAYS)),
  ]  # fmt: skip


NAMES = tuple(_names())
HOUR_NAMES = tuple(f"hour {hour}" for hour in range(_HOURS))


def aggregates(events: np.ndarray, times: np.ndarray, end: int) -> np.ndarray:
  """The aggregates of one history.

  Args:
    events: [n] int codes of events.
    times: [n] int64 microseconds UTC, ascending.
    end: microseconds UTC, the time of the row: days are counted back from it.

  Returns:
    [len(NAMES)] float32, in the order of NAMES; zeros for no events.
  """
  if not len(events):
    return np.zeros(len(NAMES), np.float32)
  gaps = np.maximum(np.diff(times), 0)
  values = [
      *_amounts(times, gaps),
      *_gap_values(gaps / SECOND),
      *_event_values(np.asarray(events, np.int64)),
      *_session_values(times, gaps),
      *_day_values(times, end),
  ]
  return np.asarray(values, np.float32)


def hours(times: np.ndarray) -> np.ndarray:
  """[24] float32, the share of the events in each hour of the day in UTC."""
  if not len(times):
    return np.zeros(_HOURS, np.float32)
  hour = (np.asarray(times, np.int64) // HOUR) % _HOURS
  return np.bincount(hour, minlength=_HOURS).astype(np.float32) / len(times)


def _amounts(times: np.ndarray, gaps: np.ndarray) -> list[float]:
  active = gaps[gaps < SESSION_GAP].sum() / HOUR
  duration = (times[-1] - times[0]) / SECOND
  rate = len(times) / max(active, 1 / 60)
  return [np.log1p(len(times)), np.log1p(duration), np.log1p(rate)]


def _gap_values(seconds: np.ndarray) -> list[float]:
  if not len(seconds):
    return [0.0] * (len(QUANTILES) + 7)
  logs = np.log1p(seconds)
  # Rounded: scripts wait for whole and equal times.
  _, counts = np.unique(np.round(seconds, 1), return_counts=True)
  return [
      *np.quantile(logs, QUANTILES),
      logs.mean(),
      logs.std(),
      float(np.mean(seconds <= 0)),
      _entropy(counts),
      counts.max() / len(seconds),
      _correlation(logs, 1),
      _correlation(logs, 2),
  ]


def _event_values(events: np.ndarray) -> list[float]:
  _, codes, counts = np.unique(
      events, return_inverse=True, return_counts=True
  )
  pairs = codes[:-1] * len(counts) + codes[1:]
  pair_counts = np.unique(pairs, return_counts=True)[1]
  packed = zlib.compress(codes.astype(np.int16).tobytes(), 6)
  return [
      _entropy(counts),
      np.log1p(len(counts)),
      counts.max() / len(events),
      _entropy(pair_counts),
      len(packed) / len(events),
      *(
          float(np.mean(codes[lag:] == codes[:-lag])) if len(codes) > lag
          else 0.0
          for lag in LAGS
      ),
  ]


def _session_values(times: np.ndarray, gaps: np.ndarray) -> list[float]:
  cut = np.flatnonzero(gaps >= SESSION_GAP)
  first = np.insert(cut + 1, 0, 0)
  last = np.append(cut, len(times) - 1)
  events = last - first + 1
  seconds = (times[last] - times[first]) / SECOND
  between = np.log1p(gaps[cut] / SECOND) if len(cut) else np.zeros(1)
  return [
      np.log1p(len(first)),
      np.log1p(events.mean()),
      np.log1p(events.max()),
      np.log1p(seconds.mean()),
      np.log1p(seconds.max()),
      float(np.median(between)),
      between.std(),
  ]


def _day_values(times: np.ndarray, end: int) -> list[float]:
  # Whole days back from the time of the row, whatever the calendar says.
  day = np.maximum(end - 1 - times, 0) // DAY
  recent = day < NUM_DAYS
  counts = np.bincount(day[recent], minlength=NUM_DAYS)
  used = np.unique((end - 1 - times[recent]) // HOUR)
  active = np.bincount(used * HOUR // DAY, minlength=NUM_DAYS)[:NUM_DAYS]
  logs = np.log1p(counts)
  seen = np.unique(day)
  slope = np.polyfit(np.arange(NUM_DAYS), logs, 1)[0]
  return [
      np.log1p(len(seen)),
      (end - times[-1]) / DAY,
      np.log1p((end - times[0]) / DAY),
      counts[:7].sum() / len(times),
      -slope,
      logs.std(),
      int(np.diff(seen).max(initial=1)) - 1,
      _correlation(logs, 7),
      *logs,
      *active,
  ]


def _entropy(counts: np.ndarray) -> float:
  """In bits."""
  if not len(counts):
    return 0.0
  share = counts / counts.sum()
  return float(-(share * np.log2(share)).sum())


def _correlation(values: np.ndarray, lag: int) -> float:
  """Autocorrelation; 0 where it is not defined."""
  if len(values) < lag + 3:
    return 0.0
  centred = values - values.mean()
  scale = float((centred**2).sum())
  if scale < 1e-12:
    return 0.0
  return float((centred[lag:] * centred[:-lag]).sum() / scale)
