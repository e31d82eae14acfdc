"""What runs on a node: standard library only, shipped as one zipapp, imports nobody else."""
