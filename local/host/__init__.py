"""A Lambda host for one machine: it reads template.yaml and runs the functions as AWS would."""
