"""The tools, and how each is told chunk size and concurrency."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.grid import MIB
from bench.tools.programs import AWS_1, AWS_2, Program, Programs
from bench.tools.tool import Task, Terms, Tool
from hps.model import Transfer
from hps.tools.rclone import command

RCLONE = "rclone"
_SCRIPTS = Path(__file__).with_name("scripts")
# The CRT opens one connection for each 0.4 Gbit/s that it is to reach, and at least 10:
# https://github.com/awslabs/aws-c-s3, `s_throughput_per_connection_gbps` in source/s3_client.c.
_CRT_BYTES_PER_S = 50_000_000


def tools(programs: Programs) -> list[Tool]:
    """Those that are installed, rclone first."""
    found = programs.found
    classic = found.get(AWS_2) or found.get(AWS_1)
    made = (
        _rclone(found["rclone"]),
        _s5cmd(found["s5cmd"]) if "s5cmd" in found else None,
        _aws_classic(classic) if classic else None,
        _aws_crt(found[AWS_2]) if AWS_2 in found else None,
        _boto3(found["boto3"]) if "boto3" in found else None,
        *(_obstore(found["obstore"]) if "obstore" in found else ()),
    )
    return [tool for tool in made if tool is not None]


def _rclone(program: Program) -> Tool:
    def arguments(task: Task) -> tuple[str, ...]:
        transfer = Transfer(
            chunk_size_bytes=task.terms.chunk_bytes,
            concurrency=task.terms.concurrency,
            transfers=1,
            http2=False,
            checksum=True,
        )
        local = str(task.file)
        if task.way == "up":
            size_bytes = task.file.stat().st_size
            call = command.upload(
                task.remote, local, task.key, transfer, size_bytes=size_bytes, folder=False
            )
        else:
            call = command.download(task.remote, task.key, local, transfer, folder=False)
        return (program.path, *call.args)

    return Tool(
        name=RCLONE,
        version=program.version,
        idle=(program.path, "version"),
        arguments=arguments,
        told_by="--s3-chunk-size, --s3-upload-concurrency; --multi-thread-chunk-size, "
        "--multi-thread-streams",
    )


def _s5cmd(program: Program) -> Tool:
    def arguments(task: Task) -> tuple[str, ...]:
        size = f"--part-size={task.terms.chunk_bytes // MIB}"
        count = f"--concurrency={task.terms.concurrency}"
        return (program.path, "--log=error", "cp", size, count, *task.source_and_destination)

    return Tool(
        name="s5cmd",
        version=program.version,
        idle=(program.path, "version"),
        arguments=arguments,
        told_by="--part-size, --concurrency",
    )


def _aws_classic(program: Program) -> Tool:
    # Version 1 has no other client, and takes no notice of the word.
    return Tool(
        name="AWS CLI, classic",
        version=program.version,
        idle=(program.path, "--version"),
        arguments=partial(_aws_arguments, program),
        config=partial(_aws_config, preferred_transfer_client="classic"),
        told_by="multipart_chunksize, max_concurrent_requests",
    )


def _aws_crt(program: Program) -> Tool:
    def config(terms: Terms) -> str:
        target = terms.concurrency * _CRT_BYTES_PER_S
        return _aws_config(terms, preferred_transfer_client="crt", target_bandwidth=f"{target}")

    return Tool(
        name="AWS CLI, CRT",
        version=program.version,
        idle=(program.path, "--version"),
        arguments=partial(_aws_arguments, program),
        config=config,
        told_by="multipart_chunksize, target_bandwidth",
        untold="concurrency: it opens a connection for each 0.4 Gbit/s of its target, at least 10",
    )


def _aws_arguments(program: Program, task: Task) -> tuple[str, ...]:
    # The CRT learns from the argument, and not from the environment, that there is no TLS.
    endpoint = f"--endpoint-url={task.server.endpoint}"
    return (program.path, "s3", "cp", "--only-show-errors", endpoint, *task.source_and_destination)


def _aws_config(terms: Terms, **settings: str) -> str:
    values = {
        "addressing_style": "path",
        "multipart_threshold": f"{terms.chunk_bytes}",
        "multipart_chunksize": f"{terms.chunk_bytes}",
        "max_concurrent_requests": f"{terms.concurrency}",
        **settings,
    }
    lines = [f"  {name} = {value}" for name, value in values.items()]
    return "\n".join(["[default]", "s3 =", *lines, ""])


def _boto3(program: Program) -> Tool:
    return Tool(
        name="boto3",
        version=program.version,
        idle=_imports(program, "boto3.s3.transfer"),
        arguments=partial(_script_arguments, program, "boto3_copy.py"),
        told_by="TransferConfig(multipart_chunksize, max_concurrency)",
    )


def _obstore(program: Program) -> tuple[Tool, Tool]:
    declared = Tool(
        name="obstore",
        version=program.version,
        idle=_imports(program, "obstore"),
        arguments=partial(_script_arguments, program, "obstore_copy.py"),
        told_by="put(chunk_size, max_concurrency); get_range_async, so many at a time",
    )
    streamed = Tool(
        name="obstore.get",
        version=program.version,
        idle=declared.idle,
        arguments=partial(_script_arguments, program, "obstore_copy.py", stream=True),
        told_by="",
        untold="either: one GET, whose bytes it streams; for the others a script reads ranges",
        ways=("down",),
        timed=False,
    )
    return declared, streamed


def _script_arguments(
    program: Program, script: str, task: Task, *, stream: bool = False
) -> tuple[str, ...]:
    verb = "stream" if stream else task.way
    numbers = (f"{task.terms.chunk_bytes}", f"{task.terms.concurrency}")
    where = (task.server.bucket, task.key, str(task.file))
    return (program.path, "-I", str(_SCRIPTS / script), verb, *where, *numbers)


def _imports(program: Program, module: str) -> tuple[str, ...]:
    return (program.path, "-I", "-c", f"import {module}")
