"""Virtual time and a faulty network around the cores that ship. Decides nothing of its own."""
