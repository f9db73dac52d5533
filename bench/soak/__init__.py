"""A long run of `hps`, looked at from outside: does anything of it grow?"""
