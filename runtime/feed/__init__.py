"""What a node tells gateways: the messages, what may be published, and the sending side as a core."""
