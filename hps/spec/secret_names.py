"""Which environment variables an experiment takes its secrets from."""

from __future__ import annotations

from hps.model import Spec


def secret_env_names(spec: Spec) -> tuple[str, ...]:
    """The name of every variable that a target of the spec names, once each, in order."""
    references = (
        reference
        for target in spec.targets.values()
        for reference in (target.access_key_id, target.secret_access_key, target.session_token)
        if reference is not None
    )
    return tuple(dict.fromkeys(reference.env for reference in references))
