//! The program inside instances and on the customer's hosts: backs up, restores, verifies, seals
