"""The keys that conf/ may have: those of the tool, and yours. docs/extending.md shows how to add some."""

from modelbook import settings


class Settings(settings.Config):
    """What each stage gets. A group of your own is a class, and a line here.

    Examples
    --------
    class Churn(settings.Group):  # conf/churn/default.yaml
        after_days: int

    class Settings(settings.Config):
        churn: Churn
    """
