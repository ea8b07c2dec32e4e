"""`make bench`: what the doors, the gate and the notes cost, as ratios of one run on one machine."""
