"""Commands that write, check, plan and run recipes."""
