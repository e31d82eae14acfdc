"""What a history can lose without a wrong it never had."""
