"""Many seeds at once, in processes."""
