"""Stage `train`: fit the model, and save it with all that explains it."""

from modelbook import models, stage, tables

from . import features


@stage
def train(settings):
    rows = tables.read("train")
    model = features.pipeline(rows, settings.features, models.estimator(settings))
    models.save(models.fit(model, rows, settings), rows, settings)


if __name__ == "__main__":
    train()
