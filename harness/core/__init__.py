"""Values and protocols that everything else speaks in; nothing here does I/O."""
