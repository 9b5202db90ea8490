"""The ways to reach a hub; nothing outside names one."""
