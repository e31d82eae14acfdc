"""The controller side of each system: install, daemons, clients."""
