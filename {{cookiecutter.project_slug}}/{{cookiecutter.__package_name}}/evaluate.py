"""Stage `evaluate`: judge the model by rows that it was not trained on."""

from modelbook import evaluation, stage


@stage
def evaluate(settings):
    judged = evaluation.judge(settings)
    evaluation.write_metrics(judged)
    evaluation.write_plots(judged)


if __name__ == "__main__":
    evaluate()
