"""Declarative experiments on moving data between GPU nodes and object storage.

The words of this package:

experiment   one YAML file
target       a bucket and folder on a provider, that data moves to and from
node         the machine, or container instance, that runs an experiment
axis, cell   a knob that varies; one combination of values
trial        one repetition of one cell: all the steps, once
step         what a trial does: upload, download, verify, ...
operation    one step of one trial, planned: it has a stable id
measurement  what was observed while an operation ran
result       operation + measurement + status; the stored record
run          one node working through one plan; it has a run id
failure      why something was not done: a code, an owner (experiment, node, target, tool, hps)
tool         the program that moves the bytes: rclone first
chunk, concurrency   part or range size; chunks of one file in flight
transfers    files in flight at once
requested, effective what the cell says; what the tool really did

The data's journey, each arrow one function and each thing a frozen value (`hps.model`):

    YAML text -> spec.load -> Spec -> plan.expand -> Plan -> execute.run -> Result, Result, ...
    -> store (journal on disk, copy in the bucket) -> analyze -> report
"""

__version__ = "0.1.0"
