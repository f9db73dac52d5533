"""SaladCloud, one of the engines that start the nodes of a fleet."""

from hps.fleet.salad.engine import SaladCloud

__all__ = ["SaladCloud"]
