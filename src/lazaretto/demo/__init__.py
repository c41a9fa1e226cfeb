"""The embedded demo: a real attack on real digits, from a delivery to a blast radius."""

from lazaretto.demo.story import run_demo

__all__ = ["run_demo"]
