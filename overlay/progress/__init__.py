"""How a job is doing, for people: a live view on a terminal, the same in a notebook, plain lines elsewhere.

What is shown are `figures`, how they are shown is one of three `displays`, and `showing` chooses: by default
nothing is shown unless somebody is there to see it.
"""
