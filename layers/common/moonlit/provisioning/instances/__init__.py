"""Service instances as staff see and change them one by one."""
