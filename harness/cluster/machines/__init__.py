"""Virtual machines by Vagrant: where they live, how they come up, how their power is cut."""
