"""The bandwidth probe: how fast this node is, before any trial.

link       a folder of a bucket, and all that is needed to go there
rates      what a probe comes to
watch      a running transfer, looked at until its rate is known
target     the probe by the experiment's own bucket
speedtest  the probe by speedtest
"""
