"""What evaluators of interest vectors read of the tests' shop."""

from behavior_lm.data.items.histories import ACTION
from behavior_lm.data.items.interest_rows import Spans
from behavior_lm.data.items.vocabulary import fit_items
from behavior_lm.data.reading import Reading
from behavior_lm.evaluation.own_short import InterestSubject
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.training.sharding import make_mesh


def shop_subject(path, names=(), graphdef=None) -> InterestSubject:
  """A subject whose model reads actions and categories."""
  dataset = open_dataset(path)
  vocabulary = fit_items(dataset, max_items=0, min_count=1)
  table = dataset.categories("category").drop_nulls("value")
  sizes = {
      "category": dataset.extras["category"].categories,
      ACTION: vocabulary.actions.height + 1,
  }
  return InterestSubject(
      dataset=dataset,
      vocabulary=vocabulary,
      categories={"category": dict(table.select("value", "code").iter_rows())},
      reading=Reading(
          gap_kind="previous",
          features=tuple(sizes),
          columns=tuple(
              (name, schema.Extra(schema.CATEGORICAL, categories=size))
              for name, size in sizes.items()
          ),
      ),
      spans=Spans(30, 8, 1, 1, category="category"),
      names=names,
      graphdef=graphdef,
      mesh=make_mesh(),
  )
