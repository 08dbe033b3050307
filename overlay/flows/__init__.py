"""Logic once, for blocking, asyncio and trio callers.

In: flows, which are generators that decide and yield steps (a call, a pause, disk work). Out: methods of
`Client` and `AsyncClient`. `steps` names what a flow may yield, `drivers` carry it out and raise
what the service refuses, `binding` turns flows into methods that keep their signatures.
"""
