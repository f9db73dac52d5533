"""rclone as a tool: the first of them, and the one that the bucket's client is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hps.errors import HpsError
from hps.model import Failure, Operation
from hps.tools.base import Evidence, Installed, Job, Missing, Ran
from hps.tools.invocation import Invocation
from hps.tools.rclone import command, evidence
from hps.tools.rclone import log as rclone_log
from hps.tools.rclone.log import RcloneLog
from hps.tools.rclone.remote import remote_of


class Rclone:
    """Fits `hps.tools.base.Tool`."""

    name = command.NAME

    def find(self, env: Mapping[str, str]) -> Installed | Missing:
        """`HPS_RCLONE`, else the one installed with this package, else the one on PATH."""
        try:
            return find(env)
        except HpsError as error:
            return Missing(why=error.message, how_to_get=error.hint)

    def call(self, job: Job) -> Invocation:
        """`copyto` of one file, `copy` of a folder, or `sync`."""
        remote, folder = remote_of(job.target), job.name is None
        size_bytes, transfer = job.size_bytes, job.transfer
        if job.movement == "upload":
            return command.upload(
                remote, job.path, job.key, transfer, size_bytes=size_bytes, folder=folder
            )
        if job.movement == "download":
            return command.download(remote, job.key, job.path, transfer, folder=folder)
        if job.movement == "sync_up":
            return command.sync_up(remote, job.local, job.folder, transfer, size_bytes=size_bytes)
        return command.sync_down(remote, job.key, job.local, transfer)

    def read(self, ran: Ran) -> Evidence:
        """By its log, which names every chunk; the connections show what that can't."""
        log, operation = rclone_log.read(ran.log), ran.operation
        effective = evidence.effective(log, operation, offers_http2=ran.offers_http2)
        observed = evidence.observed(log, operation, ran.counter)
        return Evidence(
            effective=effective,
            observed=observed,
            wrong=evidence.why_invalid(log, operation, effective, observed),
            setup_s=evidence.setup_s(log, operation, ran.ended),
            retries=log.retries,
            repeated=evidence.repeated(log.retries, ran.clean(log.trouble)),
            crash=ran.clean(log.crash),
            silent_s=log.silent_s,
        )

    def explain(self, ran: Ran) -> Failure:
        """By its exit code, and what it complained of last."""
        log = rclone_log.read(ran.log)
        said = ran.clean(_last_words(log, ran.log, ran.operation))
        return evidence.of_exit_code(ran.ended.returncode, said, ran.clean(log.behind))


def find(env: Mapping[str, str]) -> Installed:
    """The rclone of this machine. Raises `HpsError` where there is none that will do."""
    program = command.find_binary(env)
    return Installed(program=program, version=command.read_version(program))


def _last_words(log: RcloneLog, path: Path, operation: Operation) -> str:
    """A call that moves no payload may complain before its log is one for programs."""
    if log.last_error or operation.requested is not None:
        return log.last_error
    return evidence.last_words(path)
