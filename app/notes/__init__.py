"""The Brain: notes, what they are and the tools that work on them."""
