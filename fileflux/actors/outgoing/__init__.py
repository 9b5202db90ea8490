"""What leaves the hub for other servers: webhooks and mails. In blocking style, for greenlets that may wait; every wait has an end."""
