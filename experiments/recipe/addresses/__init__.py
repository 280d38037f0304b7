"""What each stage and evaluation is made of: its address, its folder, and stages named by people."""
