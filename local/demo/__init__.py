"""`make demo`: the main job told step by step on a stack of its own, each step with its proof."""
