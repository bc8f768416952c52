"""Stands for the package `pytest_kind`: the cluster is at hand, so none is made and none removed."""
