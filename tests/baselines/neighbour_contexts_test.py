import pytest

from behavior_lm.baselines.neighbour_contexts import Contexts
from behavior_lm.baselines.neighbour_contexts import GAP
from behavior_lm.baselines.neighbour_contexts import OFFSETS


@pytest.mark.parametrize("side", [0, -1, 1])
def test_every_subset_comes_behind_its_parent(side):
  subsets = Contexts(side).subsets
  assert len(set(subsets)) == len(subsets) == (24 if side else 16)
  for place, subset in enumerate(subsets[1:], 1):
    assert subset[:-1] in subsets[:place]
    if GAP in subset:
      assert subset[-1] == GAP and side in subset
    else:
      assert set(subset) <= set(OFFSETS)


def test_continuations_are_of_small_subsets_without_the_gap():
  contexts = Contexts(-1)
  continued = [subset for subset, more in contexts.experts if more]
  assert continued == [subset for subset in Contexts().subsets if
                       len(subset) <= 2]
  assert contexts.num_experts == 24 + len(continued) + 1
  assert all(len(contexts.experts[i][0]) > 1 for i in contexts.narrow)
