"""Declarative experiments on moving data between GPU nodes and object storage.

The things of this package, by the words that stand for them everywhere:

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
journal      the file of a run: its line, the node's, and a line for each result
failure      why something was not done: a code, an owner (experiment, node, target, tool, hps)
reading      a value that was measured or looked up, or the reason why there is none
tool         the program that moves the bytes: rclone, s5cmd, aws, s3parcp, azcopy, gsutil
proof        a tool's version was seen to do as told and to say so: its log is evidence
invocation   one call of a tool: its arguments, its environment, and files that it reads
chunk, concurrency   part or range size; chunks of one file in flight
transfers    files in flight at once
requested, effective what the cell says; what the tool really did

What is done with them:

load         read text within bounds and make values of it: an experiment, a journal
check        find what is wrong before it costs anything: in a file, at a target
expand       a spec -> the cells and operations of its plan, in order
estimate     how long a plan takes, and what its requests and bytes cost
find         look for something that may be missing: a tool, a target's address, earlier runs
admit        look at the node, measure what the rules ask for, and judge it
execute      do the operations of a plan, one after the other, each step by its tool
record       write a line of a journal to the disk before anything else happens
publish      send what a run has stored to the bucket, and see that it is there
resume       go on with a run that was ended before it had done everything
clean        remove what a run has left in its own folders, and nothing else
list         name what a bucket, or a folder of results, holds
pull         fetch stored results from a bucket: only what is new
select       the results that a question is about, by the names and values of columns
compare      pairs of cells under equal conditions -> by how much one is faster, and how surely
decide       say what follows: which cell to choose, whether a gate holds, if a node will do
prove        hold a tool's version against the wire: asked, seen by a proxy, and said are the same
render       an answer -> text, Markdown, CSV, JSON, a page, a picture
explain      why something failed or is not accepted, and what to do about it

The data's journey, each arrow the work of one package and each thing a frozen value (`hps.model`):

    path, address -> source -> YAML text -> spec.load -> Spec -> plan.expand -> Plan -> run.run
    (admission, execute: steps, tools, targets) -> Result, Result, ... -> results (journal on disk,
    copy in the bucket, pulled from there, tables) -> compare -> findings -> report

`cli` has a module for each command. Facts stand in `catalog`, what this machine is in `node`, and
its processes in `process`. `tests/test_architecture.py` has the order of the packages.
"""

__version__ = "0.1.0"
