"""What can go wrong with a link, apart from bad settings, which are an `HpsError` of their own."""

from __future__ import annotations

from hps.errors import EXIT_OPERATION_FAILED, HpsError

# As test programs say "skipped": no link can be made here, and nothing was run.
EXIT_NO_LINK = 77


class NoLinkError(HpsError):
    """This machine, or this user, can't make an emulated link."""

    exit_code = EXIT_NO_LINK


class LinkError(HpsError):
    """The link broke while it was in use: what ran over it means nothing."""

    exit_code = EXIT_OPERATION_FAILED
