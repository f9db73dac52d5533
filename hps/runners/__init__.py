"""What moves files with a Python library, each a small program of its own that `hps` measures.

`python -m hps.runners.boto3_copy --help`. Keys, endpoint and region come from the environment, in
the variables that Amazon's own tools read. They import nothing of `hps` but each other, so that
what is measured is the library.
"""
