"""What the system tests share: programs under control, keys, servers, clients, and the relay."""
