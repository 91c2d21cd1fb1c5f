"""`make bench`: what the practice's main jobs cost here, each beside the least that they could cost."""
