"""The actor kernel: mailboxes, refs, actors, supervision, and the one pump for data sockets."""
