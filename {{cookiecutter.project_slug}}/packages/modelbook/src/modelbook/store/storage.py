"""Faults of a storage service in words: which it is, why it stops the work, and what to type."""

import re
import sys
from collections.abc import Callable
from typing import Any

from ..errors import ProjectError, UnavailableError

AGAIN = "then the same command again: what was sent or fetched already is kept"
KEY = (
    "give the right one (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, "
    "or dvc remote modify --local storage profile NAME), " + AGAIN
)
#: What an answer of an S3 server means, by its code: what happened, why, what to type.
#: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
MEANINGS = {
    "InvalidAccessKeyId": ("the storage does not know this access key", "it is mistyped, or was deleted there", KEY),
    "SignatureDoesNotMatch": (
        "the secret key does not belong to the access key",
        "the storage checks a signature that only the right pair can make",
        KEY,
    ),
    "ExpiredToken": (
        "the session token has expired",
        "it was given for a limited time",
        f"log in again (aws sso login, or a new token), {AGAIN}",
    ),
    "RequestTimeTooSkewed": (
        "this machine's clock is wrong",
        "the storage takes no request that is signed more than 15 minutes ago or ahead",
        f"set the clock (timedatectl set-ntp true), {AGAIN}",
    ),
    "AccessDenied": (
        "wrong key or no permission",
        "a release needs GetObject, PutObject and ListBucket there; model prune also DeleteObject",
        f"ask whoever gives out the keys, or choose another key (AWS_PROFILE), {AGAIN}",
    ),
    "NoSuchBucket": (
        "there is no such bucket",
        "a bucket is never made by a push: a mistyped name would scatter the data",
        "make the bucket, or correct its name: dvc remote modify storage url s3://BUCKET/PREFIX",
    ),
    "AuthorizationHeaderMalformed": (
        "the bucket is in another region",
        "requests are signed for a region",
        "dvc remote modify storage region REGION",
    ),
    "SlowDown": (
        "the storage asks for fewer requests",
        "it is overloaded, and went on saying so",
        f"wait a little, {AGAIN}",
    ),
}
MEANINGS |= {
    "ExpiredTokenException": MEANINGS["ExpiredToken"],
    "TokenRefreshRequired": MEANINGS["ExpiredToken"],
    "RequestExpired": MEANINGS["RequestTimeTooSkewed"],
    "AllAccessDisabled": MEANINGS["AccessDenied"],
    "403": MEANINGS["AccessDenied"],
    "PermanentRedirect": MEANINGS["AuthorizationHeaderMalformed"],
    "IllegalLocationConstraintException": MEANINGS["AuthorizationHeaderMalformed"],
    "ServiceUnavailable": MEANINGS["SlowDown"],
    "503": MEANINGS["SlowDown"],
}
NO_KEY = ("there is no key for the storage", "neither the environment nor a profile has one", KEY)
NO_PROFILE = (
    "the profile is in no file of ~/.aws",
    "the key would come from there",
    "aws configure --profile NAME, or another AWS_PROFILE",
)
SILENT = (
    "the storage does not answer",
    "it is down, or its address or the network is wrong; it was tried several times (AWS_MAX_ATTEMPTS says how often)",
    f"look at the address with dvc config --list, mend the connection, {AGAIN}",
)


def package_of(error: ImportError) -> str:
    """Return the package that DVC misses: `dvc-s3` for a bucket."""
    found = re.search(r"requires '([\w-]+)'", str(error))
    return found[1] if found else str(error)


def errors() -> tuple[type[BaseException], ...]:
    """Return what storage libraries raise when a store refuses or is away."""
    from dvc.exceptions import DvcException

    exceptions = sys.modules.get("botocore.exceptions")  # there only if the remote is on S3
    if exceptions is None:
        return (OSError, DvcException)
    return (OSError, DvcException, exceptions.BotoCoreError, exceptions.ClientError)


def code(error: BaseException) -> str:
    """Return the code that the server answered with, or nothing."""
    for found in (error, error.__cause__):
        answer = getattr(found, "response", None)
        if isinstance(answer, dict):
            return str(answer.get("Error", {}).get("Code", ""))
    return ""


def explain(error: BaseException, place: str, done: str, ask: Callable[[], Any] | None = None) -> ProjectError:
    """Put a fault of a storage into words.

    Parameters
    ----------
    error : exception
        One of `errors()`.
    place : str
        Which storage.
    done : str
        What could not be done with objects, such as `sent to`.
    ask : callable, optional
        Asks the storage something harmless. The answer to a question about
        one object has no body, so it says 403 or 404 and not why; this one does.
    """
    found = code(error)
    if ask and found in ("", "400", "403", "404") and not _is_silent(error):
        try:
            ask()
        except errors() as again:
            error, found = again, code(again)
    name = type(error).__name__
    if "difference between the request time" in f"{error} {error.__cause__}":  # some servers call it AccessDenied
        found = "RequestTimeTooSkewed"
    if found in MEANINGS:
        what, why, fix = MEANINGS[found]
    elif name in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
        what, why, fix = NO_KEY
    elif name == "ProfileNotFound":
        what, why, fix = NO_PROFILE
    elif _is_silent(error):
        what, why, fix = SILENT
    else:
        what, why = f"{name}: {error}", "the storage refused or does not answer"
        fix = f"mend the connection or the permission (dvc remote list says where), {AGAIN}"
    return UnavailableError(f"objects could not be {done} {place}: {what}", why, fix)


def _is_silent(error: BaseException) -> bool:
    """Tell whether there was no answer at all, rather than one that refuses."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    exceptions = sys.modules.get("botocore.exceptions")
    return exceptions is not None and isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError))
