"""`brain doctor`: ordered checks of the whole way from a client to the notes, each with the one fix.

`inside.py` and `outside.py` are the lists. A probe asks the world; what its answer means is judged purely.
"""
