"""Which variables of the environment hold secrets: by their names, and by passwords in addresses.

The one list of such names: what may not be filled into an experiment, and what is kept out of
everything that is written, see `hps.scrub`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

# What begins like this is there to be filled in, or to be named as a secret, by an experiment.
VARIABLE_PREFIX = "HPS_VAR_"
SECRET_PREFIX = "HPS_SECRET_"  # noqa: S105 - the beginning of a name
# The secrets of the shipped experiments and of the well-known targets.
STORAGE_SECRETS = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "CLOUDFLARE_ID",
        "CLOUDFLARE_KEY",
    }
)
# Whole words, so that KEYBOARD, TOKENS, AUTHOR and PWD, the working folder, are none.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:SECRETS?|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PASS|CREDENTIALS?|AUTH|COOKIE|BEARER|JWT"
    r"|PAT|(?:API|ACCESS)?KEY)(?:_?ID)?(?:_?[0-9]+)?$"
    r"|_PWD$|SECRET_|PASSWORD|(?:ACCESS|PRIVATE|API|SECRET)_?KEY",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"://(?P<user>[^/\s:@]*)(?P<colon>:?)(?P<password>[^/\s]*)@")
# A value that nobody declared as a secret may be an ordinary word: short ones stay.
_SHORTEST_GUESSED = 8


def may_name_secret(name: str) -> bool:
    """True for variables that hold keys of storage, whatever experiment names them."""
    return name in STORAGE_SECRETS or name.startswith(SECRET_PREFIX)


def is_called_like_a_secret(name: str) -> bool:
    """True for names of secrets; those that begin with HPS_VAR_ are there to be filled in."""
    if name.startswith(VARIABLE_PREFIX):
        return False
    return may_name_secret(name) or _SECRET_NAME.search(name) is not None


def secrets_in(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each secret of an environment as (the variable's name, the value).

    Values of variables that are called like secrets, and user names with passwords in addresses,
    such as those of proxies. A name may come more than once.
    """
    for name, value in env.items():
        if is_called_like_a_secret(name) and len(value) >= _SHORTEST_GUESSED:
            yield name, value
        for found in _USER_INFO.finditer(value):
            yield from ((name, text) for text in _of_address(found))


def _of_address(found: re.Match[str]) -> Iterator[str]:
    user, password = found["user"], found["password"]
    if found["colon"]:
        yield f"{user}:{password}"
        yield f"{unquote(user)}:{unquote(password)}"
    alone = password or user
    for text in dict.fromkeys((alone, unquote(alone))):
        if len(text) >= _SHORTEST_GUESSED:
            yield text
