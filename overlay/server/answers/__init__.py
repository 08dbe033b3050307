"""Where answers come from: an echo, a callable, or a real server behind this one.

In: lines of a batch's input file. Out: lines of its output and error files, each written once, also by a service
that is stopped and started again.
"""
